#include "failover/loss.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/message.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode::failover {
namespace {

using testing::HasSubstr;

const StoreId blobs{StoreKind::Blobs, "uploads"};
const StoreId repositories{StoreKind::Repositories, "git"};
const StoreId database{StoreKind::Database, "app"};

/// An epoch's stream, as its primary left it.
class LossReports : public testing::Test {
  protected:
    Position publish(const std::optional<StoreId>& store, const v1::Payload& payload) {
        const auto sealed = sealer_.seal(store, from_microseconds(++time_), payload);
        for (const protocol::Sealer::Sealed& message : sealed) {
            stream_.put(message.bytes, protocol::stream_subject("demo", 3, store));
        }
        return sealer_.head();
    }
    Position announce(const std::string& item) {
        v1::Payload payload;
        payload.mutable_announcement()->add_items(item);
        return publish(blobs, payload);
    }
    Position put(const std::string& item, const Position& announcement) {
        v1::Payload payload;
        payload.mutable_blob_put()->set_path(item);
        payload.mutable_blob_put()->mutable_fulfils()->set_first(announcement.number);
        payload.mutable_blob_put()->mutable_fulfils()->set_through(announcement.number);
        return publish(blobs, payload);
    }
    Position commit(uint32_t xid) {
        v1::Payload payload;
        payload.mutable_transaction()->set_xid(xid);
        payload.mutable_transaction()->set_commit_lsn(xid);
        payload.mutable_transaction()->set_last(true);
        payload.mutable_transaction()->set_change_count(1);
        return publish(database, payload);
    }
    void apply(const std::string& item, const Position& position) {
        const std::vector<secondary::Registry::Outcome> outcomes = {
            {item, position, position, Digest{"blob-1", "x"}, {}}};
        registry_.record(blobs, outcomes, position);
    }
    LossReport report(const Position& items, const Position& rows) {
        LossReport report;
        report.cluster = "demo";
        report.epoch = 3;
        report.lanes = {{blobs, items, {}, from_microseconds(20)},
                        {database, rows, Lsn{5}, from_microseconds(10)}};
        find_losses(report, stream_, registry_);
        return report;
    }

    test::MemoryStream stream_;
    ManualClock clock_;
    secondary::Registry registry_{{}, clock_};
    protocol::Sealer sealer_{"demo", 3, 1, std::nullopt};
    int64_t time_ = 100;
};

TEST_F(LossReports, AreEmptyWhenAllThatCameIsApplied) {
    const Position announced = announce("a");
    const Position there = put("a", announced);
    apply("a", there);
    const Position row = commit(7);
    const LossReport found = report(row, row);
    EXPECT_EQ(found.known, 0U);
    EXPECT_TRUE(found.losses.empty());
    EXPECT_EQ(found.last_event, from_microseconds(103));
    EXPECT_EQ(found.unknown_since(), from_microseconds(10));
}

TEST_F(LossReports, NameWhatWasAnnouncedAndWhatWaitsForIt) {
    const Position first = commit(6);
    announce("lost");
    const Position b = announce("came");
    const Position b_put = put("came", b);
    const Position c = announce("pulled");
    put("pulled", c);
    apply("came", b_put);
    commit(7);
    const LossReport found = report(first, first);
    EXPECT_EQ(found.known, 3U);
    ASSERT_EQ(found.losses.size(), 3U);
    EXPECT_EQ(found.losses[0].kind, Loss::Kind::SetAside);
    EXPECT_EQ(found.losses[0].item, "xid 7 at 0/7");
    EXPECT_EQ(found.losses[1].kind, Loss::Kind::SetAside);
    EXPECT_EQ(found.losses[1].item, "pulled");
    EXPECT_EQ(found.losses[2].kind, Loss::Kind::Announced);
    EXPECT_EQ(found.losses[2].item, "lost");
    EXPECT_THAT(found.to_json(), HasSubstr("\"known_lost\": 3"));
}

TEST_F(LossReports, CountEachTransactionOfASharedMessageThatIsNotApplied) {
    v1::Payload payload;
    v1::Transaction& shared = *payload.mutable_transaction();
    shared.set_last(true);
    shared.set_change_count(3);
    for (uint32_t i = 4; i <= 6; ++i) {
        v1::Transaction::Member& member = *shared.add_members();
        member.set_xid(i);
        member.set_commit_lsn(i);
        member.set_end_lsn(i);
        member.set_change_count(1);
    }
    publish(database, payload);
    const LossReport found = report({}, {});  // applied up to 0/5, in the middle of it
    ASSERT_EQ(found.losses.size(), 1U);
    EXPECT_EQ(found.known, 1U);
    EXPECT_EQ(found.losses[0].item, "xid 6 at 0/6");
}

TEST_F(LossReports, CountChangesOfTheStructureAndWhatWasCutShortButNotSequences) {
    v1::Payload structure;
    structure.mutable_transaction()->set_xid(7);
    structure.mutable_transaction()->set_commit_lsn(7);
    structure.mutable_transaction()->set_last(true);
    structure.mutable_transaction()->add_statements()->set_sql("CREATE TABLE t ()");
    publish(database, structure);
    v1::Payload sequences;
    sequences.mutable_transaction()->set_xid(8);
    sequences.mutable_transaction()->set_last(true);
    sequences.mutable_transaction()->add_sequences()->set_value(1);
    publish(database, sequences);
    v1::Payload part;
    part.mutable_transaction()->set_xid(9);
    part.mutable_transaction()->set_commit_lsn(9);
    part.mutable_transaction()->set_change_count(100);
    publish(database, part);
    const LossReport found = report({}, {});
    ASSERT_EQ(found.losses.size(), 2U);
    EXPECT_EQ(found.losses[0].item, "xid 7 at 0/7");
    EXPECT_EQ(found.losses[1].item, "xid 9 at 0/9");
    EXPECT_EQ(found.losses[1].kind, Loss::Kind::Announced);
}

TEST_F(LossReports, CountWhatWasBrokenOffUnlessItCameAgain) {
    const auto part = [&](uint32_t xid, uint64_t commit, bool last) {
        v1::Payload payload;
        v1::Transaction& transaction = *payload.mutable_transaction();
        transaction.set_xid(xid);
        transaction.set_commit_lsn(commit);
        transaction.set_end_lsn(last ? commit : 0);
        transaction.set_last(last);
        transaction.set_change_count(1);
        publish(database, payload);
    };
    part(6, 4, false);  // applied up to 0/5: it came again before
    part(7, 7, false);
    part(8, 8, false);
    part(9, 9, true);
    part(7, 10, true);
    const LossReport found = report({}, {});
    ASSERT_EQ(found.losses.size(), 3U);
    EXPECT_EQ(found.losses[0].item, "xid 9 at 0/9");
    EXPECT_EQ(found.losses[1].item, "xid 7 at 0/A");
    EXPECT_EQ(without_place(found.losses[1].item), "xid 7");
    EXPECT_EQ(found.losses[2].item, "xid 8 at 0/8");
    EXPECT_EQ(found.losses[2].kind, Loss::Kind::Announced);
}

TEST_F(LossReports, CountAnItemOnceHoweverOftenItChanged) {
    put("a", announce("a"));
    const Position newest = put("a", announce("a"));
    announce("a");
    const LossReport found = report({}, {});
    ASSERT_EQ(found.losses.size(), 1U);
    EXPECT_EQ(found.known, 1U);
    EXPECT_EQ(found.losses[0].position, newest);
}

TEST_F(LossReports, NameTheRefsOfARepositoryFromTheOldestToTheNewestValue) {
    const auto push = [&](const std::string& old_oid, const std::string& new_oid) {
        v1::Payload payload;
        payload.mutable_ref_update()->set_repository("app.git");
        v1::Ref& ref = *payload.mutable_ref_update()->add_refs();
        ref.set_name("refs/heads/main");
        ref.set_old_oid(old_oid);
        ref.set_new_oid(new_oid);
        publish(repositories, payload);
    };
    push("\x01", "\x02");
    push("\x02", "\x03");
    LossReport found;
    found.cluster = "demo";
    found.epoch = 3;
    found.lanes = {{repositories, {}, {}, std::nullopt}};
    find_losses(found, stream_, registry_);
    ASSERT_EQ(found.losses.size(), 1U);
    const Loss::RefChange& change = found.losses[0].refs.at("refs/heads/main");
    EXPECT_EQ(change.old_value + " " + change.new_value, "01 03");
    EXPECT_THAT(found.to_json(), HasSubstr("\"new\": \"03\""));
}

TEST_F(LossReports, NameDamagedMessagesBehindTheCutOfTheirStore) {
    const auto damage = [&] { stream_.replace(stream_.last(), "damaged"); };
    commit(5);
    commit(6);
    damage();  // it stands before the cut
    const Position rows = commit(7);
    put("a", announce("a"));
    damage();
    commit(8);
    damage();
    // Another session that goes on is no damage, nor is what the control events say.
    sealer_ = protocol::Sealer("demo", 3, 2, std::nullopt);
    v1::Payload start;
    start.mutable_session_start();
    publish(std::nullopt, start);
    publish(std::nullopt, start);
    damage();
    const LossReport found = report({}, rows);
    ASSERT_EQ(found.losses.size(), 3U) << found.to_json();
    EXPECT_EQ(found.losses[0].kind, Loss::Kind::Unreadable);
    EXPECT_EQ(found.losses[0].store, blobs);
    EXPECT_EQ(found.losses[0].item, "message 5 of the stream");
    EXPECT_THAT(found.losses[0].reason, HasSubstr("no message of Antipode"));
    EXPECT_EQ(found.losses[1].kind, Loss::Kind::Unreadable);
    EXPECT_EQ(found.losses[1].store, database);
    EXPECT_EQ(found.losses[1].item, "message 6 of the stream");
    EXPECT_EQ(found.losses[2].item, "a") << "announced";
}

TEST_F(LossReports, NameADamagedMessageRightBehindTheCut) {
    const Position rows = commit(6);
    commit(7);
    stream_.replace(stream_.last(), "damaged");
    const Position newest = publish(std::nullopt, {});
    const LossReport found = report(newest, rows);
    ASSERT_EQ(found.losses.size(), 1U) << found.to_json();
    EXPECT_EQ(found.losses[0].item, "message 2 of the stream");
}

TEST_F(LossReports, NameADamagedMessageOfWhichOnlyAPartWasApplied) {
    v1::Payload payload;
    payload.mutable_announcement()->add_items("a");
    const Position first = sealer_.add(blobs, from_microseconds(1), payload);
    const Position second = sealer_.add(blobs, from_microseconds(1), payload);
    stream_.put("damaged", protocol::stream_subject("demo", 3, blobs));
    ASSERT_EQ(sealer_.take().size(), 1U);
    EXPECT_EQ(report(first, second).losses.size(), 1U) << "nothing comes that says where it ended";
    publish(std::nullopt, {});
    EXPECT_EQ(report(first, second).losses.size(), 1U);
    EXPECT_EQ(report(second, second).losses.size(), 0U);
}

TEST_F(LossReports, NameWhatFailedHere) {
    const Position row = commit(7);
    secondary::Exception failed;
    failed.store = blobs;
    failed.item = "full";
    failed.reason = "no space left on device";
    failed.position = row;
    registry_.add_exception(failed);
    const LossReport found = report(row, row);
    ASSERT_EQ(found.losses.size(), 1U);
    EXPECT_EQ(found.losses[0].kind, Loss::Kind::Failed);
    EXPECT_EQ(found.losses[0].reason, "no space left on device");
}

TEST_F(LossReports, SayUnknownWhenNoProofEverCame) {
    LossReport nothing;
    nothing.cluster = "demo";
    nothing.epoch = 3;
    nothing.lanes = {{blobs, {}, {}, std::nullopt}};
    find_losses(nothing, stream_, registry_);
    EXPECT_FALSE(nothing.unknown_since());
    EXPECT_FALSE(nothing.last_event);
    EXPECT_THAT(nothing.to_json(), HasSubstr("\"unknown_since_us\": null"));
}

TEST_F(LossReports, AreLimitedAndStillCountAll) {
    for (size_t i = 0; i < most_losses + 5; ++i) {
        announce("item " + std::to_string(i));
    }
    for (int i = 0; i < 3; ++i) {
        const std::string item = "pulled " + std::to_string(i);
        put(item, announce(item));
    }
    const LossReport found = report({}, {});
    EXPECT_EQ(found.known, most_losses + 8);
    EXPECT_EQ(found.set_aside, 3U);
    EXPECT_EQ(found.losses.size(), most_losses);
    for (size_t i = 0; i < most_losses; ++i) {
        commit(static_cast<uint32_t>(i) + 7);
    }
    const LossReport more = report({}, {});
    EXPECT_EQ(more.known - more.set_aside, most_losses + 5) << "what is here is not lost";
}

}  // namespace
}  // namespace antipode::failover
