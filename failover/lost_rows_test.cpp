#include "failover/lost_rows.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "protocol/message.hpp"
#include "protocol/rows.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode::failover {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const StoreId database{StoreKind::Database, "app"};

class Lost : public testing::Test {
  protected:
    static void describe(v1::Transaction& message) {
        v1::Relation& relation = *message.add_relations();
        relation.set_id(1);
        relation.set_schema("public");
        relation.set_table("items");
        relation.add_columns()->set_name("id");
        relation.mutable_columns(0)->set_key(true);
        relation.add_columns()->set_name("body");
    }
    static std::string insert(const std::string& id) {
        protocol::ChangeWriter writer;
        writer.insert(1, protocol::encode_row({id, std::nullopt}));
        return writer.take();
    }
    static v1::Transaction one(uint32_t xid, uint64_t commit, const std::string& id) {
        v1::Transaction message;
        describe(message);
        message.set_xid(xid);
        message.set_commit_lsn(commit);
        message.set_end_lsn(commit + 5);
        message.set_last(true);
        message.set_changes(insert(id));
        message.set_change_count(1);
        return message;
    }
    static v1::Transaction several(const std::vector<uint64_t>& commits) {
        v1::Transaction message;
        describe(message);
        for (const uint64_t commit : commits) {
            const std::string bytes = insert(std::to_string(commit));
            v1::Transaction::Member& member = *message.add_members();
            member.set_xid(static_cast<uint32_t>(commit));
            member.set_commit_lsn(commit);
            member.set_end_lsn(commit + 5);
            member.set_change_count(1);
            member.set_change_bytes(bytes.size());
            message.mutable_changes()->append(bytes);
        }
        message.set_commit_lsn(commits.back());
        message.set_end_lsn(commits.back() + 5);
        message.set_last(true);
        return message;
    }
    std::vector<std::string> items() const {
        std::vector<std::string> found;
        for (const Loss& loss : losses_) {
            found.push_back(loss.item);
        }
        return found;
    }

    std::ostringstream out_;
    std::vector<Loss> losses_;
    LostRows rows_{database, Lsn{100}, out_, [this](const Loss& loss) { losses_.push_back(loss); }};
};

TEST_F(Lost, RowsAreWrittenWithTableKeyAndPlace) {
    rows_.add(one(7, 100, "5"));
    EXPECT_EQ(out_.str(),
              "{\"xid\":7,\"commit_lsn\":\"0/64\",\"committed_at_us\":0,\"operation\":\"insert\","
              "\"table\":\"public.items\",\"key\":{\"id\":\"5\"},\"new\":{\"id\":\"5\",\"body\":"
              "null}}\n");
    ASSERT_THAT(items(), ElementsAre("xid 7 at 0/64"));
    EXPECT_EQ(losses_[0].changes, 1U);
    EXPECT_EQ(losses_[0].kept, "database/app.jsonl");
    EXPECT_EQ(rows_.through(), Lsn{105});
}

TEST_F(Lost, WhatTheNewPrimaryHasIsNotLostAndNothingIsLostTwice) {
    rows_.add(one(6, 95, "4"));
    rows_.add(several({90, 100, 110}));
    rows_.add(several({100, 110}));  // the slot gives again what a stream gave
    rows_.add(one(8, 110, "8"));
    EXPECT_THAT(items(), ElementsAre("xid 100 at 0/64", "xid 110 at 0/6E"));
}

TEST_F(Lost, ALargeTransactionCountsOnceAndOneWithoutRowsDoesNot) {
    v1::Transaction part = one(9, 120, "1");
    part.set_last(false);
    rows_.add(part);
    EXPECT_THAT(items(), IsEmpty());
    part = one(9, 120, "2");
    part.set_part(1);
    part.add_statements()->set_sql("DROP TABLE other");
    rows_.add(part);
    ASSERT_THAT(items(), ElementsAre("xid 9 at 0/78"));
    EXPECT_EQ(losses_[0].changes, 3U);
    EXPECT_THAT(out_.str(), HasSubstr("DROP TABLE other"));
    v1::Transaction sequences;
    sequences.set_xid(10);
    sequences.set_commit_lsn(130);
    sequences.set_end_lsn(131);
    sequences.set_last(true);
    sequences.add_sequences()->set_name("s");
    rows_.add(sequences);
    EXPECT_EQ(items().size(), 1U);
    EXPECT_EQ(rows_.through(), Lsn{131});
}

TEST_F(Lost, WhatWasBrokenOffIsCalledSoAndCountsOnce) {
    v1::Transaction part = one(9, 115, "1");
    part.set_last(false);
    rows_.add(part);
    rows_.add(one(8, 120, "8"));  // committed before it
    EXPECT_THAT(out_.str(), HasSubstr("{\"xid\":9,\"commit_lsn\":\"0/73\",\"committed_at_us\":0,"
                                      "\"operation\":\"again\"}\n{\"xid\":8,"));
    part.set_commit_lsn(130);
    rows_.add(part);
    part.set_part(1);
    part.set_last(true);
    part.set_end_lsn(135);
    rows_.add(part);
    EXPECT_THAT(items(), ElementsAre("xid 8 at 0/78", "xid 9 at 0/82"));
    EXPECT_EQ(losses_[0].changes, 1U);
    EXPECT_EQ(losses_[1].changes, 2U);
}

TEST_F(Lost, FromAStreamOnlyWhatTheSlotLetGoOfIsTaken) {
    test::MemoryStream stream;
    protocol::Sealer sealer("demo", 3, 1, std::nullopt);
    Position first;
    for (const v1::Transaction& transaction : {one(6, 95, "4"), several({100, 110, 120})}) {
        v1::Payload payload;
        *payload.mutable_transaction() = transaction;
        const auto sealed = sealer.seal(database, from_microseconds(1), payload);
        first = first.is_origin() ? sealer.head() : first;
        for (const protocol::Sealer::Sealed& message : sealed) {
            stream.put(message.bytes);
        }
    }
    // A broker that is slow has not come to its end.
    stream.cut_read = [](size_t) { return 0; };
    EXPECT_THROW(add_from_stream(stream, "demo", first, Lsn{120}, database, rows_, {}), Error);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THROW(
        add_from_stream(stream, "demo", first, Lsn{120}, database, rows_, stop.get_token()),
        Stopped);
    stream.cut_read = nullptr;
    add_from_stream(stream, "demo", first, Lsn{120}, database, rows_, {});
    EXPECT_THAT(items(), ElementsAre("xid 100 at 0/64", "xid 110 at 0/6E"));
    rows_.add(several({120}));
    EXPECT_EQ(items().size(), 3U);
}

TEST_F(Lost, ADamagedMessageOfAStreamIsNamed) {
    const StoreId blobs{StoreKind::Blobs, "uploads"};
    test::MemoryStream stream;
    protocol::Sealer sealer("demo", 3, 1, std::nullopt);
    const auto publish = [&](const StoreId& store, const v1::Transaction& transaction) {
        v1::Payload payload;
        *payload.mutable_transaction() = transaction;
        const auto sealed = sealer.seal(store, from_microseconds(1), payload);
        for (const protocol::Sealer::Sealed& message : sealed) {
            stream.put(message.bytes, protocol::stream_subject("demo", 3, store));
        }
        return sealer.head();
    };
    const auto damage = [&] { stream.replace(stream.last(), "damaged"); };
    const Position cut = publish(database, one(6, 95, "4"));
    publish(database, one(7, 100, "5"));
    damage();
    publish(blobs, one(7, 105, "5"));
    damage();  // another lane's
    publish(database, one(8, 110, "6"));
    publish(database, one(9, 120, "7"));
    publish(database, one(10, 130, "8"));
    damage();  // the slot has it
    add_from_stream(stream, "demo", cut, Lsn{120}, database, rows_, {});
    EXPECT_THAT(items(), ElementsAre("message 2 of the stream", "xid 8 at 0/6E"));
    EXPECT_EQ(losses_[0].kind, Loss::Kind::Unreadable);
    EXPECT_EQ(losses_[0].store, database);
}

class LostParts : public Lost {
  protected:
    LostParts() {
        record_.set_epoch(1);
        record_.set_primary("london");
    }
    void begin(const std::string& primary, const Position& cut, uint64_t lsn) {
        google::protobuf::RepeatedPtrField<v1::LaneCut> cuts;
        v1::LaneCut& lane = *cuts.Add();
        lane.set_store(database.to_string());
        lane.set_epoch(cut.epoch);
        lane.set_session(cut.session);
        lane.set_number(cut.number);
        lane.set_lsn(lsn);
        begin_epoch(record_, record_.epoch() + 1, primary, cuts);
    }
    /// "after..through, the LSN", of each.
    std::vector<std::string> parts_of(const Position& here) const {
        std::vector<std::string> found;
        for (const LostPart& part : lost_parts(record_, database, here)) {
            found.push_back(part.after.to_string() + ".." + part.through.to_string() + ", " +
                            part.applied.to_string());
        }
        return found;
    }

    v1::EpochRecord record_;
};

TEST_F(LostParts, OfASecondaryThatIsAheadAreOfTheEpochThatItFollowed) {
    begin("sydney", {1, 1, 10}, 100);
    EXPECT_THAT(parts_of({1, 1, 15}), ElementsAre("1.1.10..1.1.15, 0/64"));
    // The new primary of the epoch after follows sydney, or is sydney.
    begin("sydney", {2, 1, 7}, 77);
    EXPECT_THAT(parts_of({1, 1, 15}), ElementsAre("1.1.10..1.1.15, 0/64"));
    EXPECT_THAT(parts_of({1, 1, 8}), ElementsAre("1.1.10..1.1.8, 0/64")) << "it is behind";
    EXPECT_THAT(parts_of({2, 1, 9}), ElementsAre("2.1.7..2.1.9, 0/4D"));
}

TEST_F(LostParts, EndWhereTheSiteThatHasLeastWasPromoted) {
    begin("sydney", {1, 1, 20}, 200);
    begin("tokyo", {1, 1, 10}, 100);
    EXPECT_THAT(parts_of({1, 1, 20}), ElementsAre("1.1.10..1.1.20, 0/64")) << "sydney's";
    EXPECT_THAT(parts_of({2, 1, 5}), ElementsAre("1.1.10..1.1.20, 0/64", "2.0.0..2.1.5, 0/0"))
        << "of one that followed sydney";
    begin("tokyo", {3, 1, 4}, 44);
    EXPECT_THAT(parts_of({1, 1, 20}), ElementsAre("1.1.10..1.1.20, 0/64"));
}

TEST_F(LostParts, ThatTheNewPrimaryHasAreEmpty) {
    begin("sydney", {1, 1, 20}, 200);
    // It has followed sydney, and nothing came: the LSN is of sydney's log.
    begin("tokyo", {1, 1, 20}, 9);
    EXPECT_THAT(parts_of({1, 1, 20}), ElementsAre("1.1.20..1.1.20, 0/C8"));
    EXPECT_THAT(parts_of({2, 1, 5}), ElementsAre("2.0.0..2.1.5, 0/0"));
}

TEST_F(LostParts, AreNotLookedForWhereARecordDoesNotSayWhereAnEpochBegan) {
    begin("sydney", {1, 1, 20}, 200);
    begin("tokyo", {1, 1, 10}, 100);
    record_.mutable_begun()->DeleteSubrange(0, 1);
    try {
        parts_of({2, 1, 5});
        FAIL() << "what is of epoch 1 is passed over";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
    }
}

TEST_F(LostParts, AreReadOfTheirOwnEpochAndWholeOrNotAtAll) {
    test::MemoryStream stream;
    protocol::Sealer sealer("demo", 1, 1, std::nullopt);
    for (const uint64_t commit : {95, 100, 110}) {
        v1::Payload payload;
        *payload.mutable_transaction() =
            one(static_cast<uint32_t>(commit), commit, std::to_string(commit));
        for (const auto& message : sealer.seal(database, from_microseconds(1), payload)) {
            stream.put(message.bytes);
        }
    }
    const Position newest = sealer.head();
    begin("sydney", {1, newest.session, newest.number - 2}, 96);
    begin("sydney", {2, 1, 7}, 1000);
    const auto parts = lost_parts(record_, database, newest);
    ASSERT_EQ(parts.size(), 1U);
    EXPECT_TRUE(has_part(stream, "demo", parts[0]));
    std::vector<std::string> found;
    std::ostringstream out;
    LostRows rows(database, parts[0].applied, out,
                  [&](const Loss& loss) { found.push_back(loss.item); });
    add_from_stream(stream, "demo", parts[0].after, Lsn{UINT64_MAX}, database, rows, {});
    EXPECT_THAT(found, ElementsAre("xid 100 at 0/64", "xid 110 at 0/6E"));

    // What a primary that was fenced had not published is one behind.
    LostPart more = parts[0];
    ++more.through.number;
    EXPECT_FALSE(has_part(stream, "demo", more));
    stream.purge_below(2);
    EXPECT_FALSE(has_part(stream, "demo", parts[0])) << "it does not reach back";
    EXPECT_FALSE(has_part(*std::make_unique<test::MemoryStream>(), "demo", parts[0]));
}

}  // namespace
}  // namespace antipode::failover
