#include "secondary/database/transaction_apply.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "protocol/rows.hpp"
#include "protocol/table_list.hpp"
#include "secondary/database/fake_session.hpp"

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Apply : public testing::Test {
  protected:
    Apply() {
        session_.committed.tables["t"];
        session_.committed.state.phase = CopyPhase::Complete;
        session_.committed.state.lsn = Lsn{100};
    }

    /// A transaction that commits at `lsn` and follows `after`.
    protocol::Event& event(uint64_t lsn, uint64_t after, uint32_t part = 0, bool last = true) {
        auto made = std::make_unique<protocol::Event>();
        made->position = {1, 1, ++number_};
        v1::Transaction& transaction = *made->payload.mutable_transaction();
        transaction.set_xid(static_cast<uint32_t>(lsn));
        transaction.set_commit_lsn(lsn);
        transaction.set_after_lsn(after);
        transaction.set_part(part);
        transaction.set_last(last);
        transaction.set_end_lsn(last ? lsn + 10 : 0);
        v1::Relation& relation = *transaction.add_relations();
        relation.set_id(1);
        relation.set_schema("public");
        relation.set_table("t");
        relation.set_replica_identity("d");
        for (const char* name : {"id", "v"}) {
            v1::Column& column = *relation.add_columns();
            column.set_name(name);
            column.set_key(std::string_view(name) == "id");
        }
        events_.push_back(std::move(made));
        return *events_.back();
    }
    /// Small transactions that share a message.
    protocol::Event& joined(std::initializer_list<const protocol::Event*> events) {
        auto made = std::make_unique<protocol::Event>();
        made->position = {1, 1, ++number_};
        v1::Transaction& all = *made->payload.mutable_transaction();
        for (const protocol::Event* event : events) {
            const v1::Transaction& one = event->payload.transaction();
            v1::Transaction::Member& member = *all.add_members();
            member.set_xid(one.xid());
            member.set_commit_lsn(one.commit_lsn());
            member.set_end_lsn(one.end_lsn());
            member.set_change_count(one.change_count());
            member.set_change_bytes(one.changes().size());
            all.mutable_changes()->append(one.changes());
            all.set_change_count(all.change_count() + one.change_count());
            *all.mutable_relations() = one.relations();
            all.set_xid(one.xid());
            all.set_commit_lsn(one.commit_lsn());
            all.set_end_lsn(one.end_lsn());
        }
        all.set_after_lsn((*events.begin())->payload.transaction().after_lsn());
        all.set_last(true);
        events_.push_back(std::move(made));
        return *events_.back();
    }
    static void add(protocol::Event& event, protocol::ChangeWriter& writer) {
        v1::Transaction& transaction = *event.payload.mutable_transaction();
        transaction.set_change_count(transaction.change_count() + writer.count());
        transaction.mutable_changes()->append(writer.take());
    }
    static protocol::Event& insert(protocol::Event& event, const std::string& key) {
        protocol::ChangeWriter writer;
        writer.insert(1, protocol::encode_row({key, "v"}));
        add(event, writer);
        return event;
    }
    static protocol::Event& insert_many(protocol::Event& event, int count) {
        protocol::ChangeWriter writer;
        for (int i = 0; i < count; ++i) {
            writer.insert(1, protocol::encode_row({std::to_string(i), "v"}));
        }
        add(event, writer);
        return event;
    }
    static protocol::Event& remove(protocol::Event& event, const std::string& key) {
        protocol::ChangeWriter writer;
        writer.remove(1, protocol::OldRow::Key, protocol::encode_row({key, std::nullopt}));
        add(event, writer);
        return event;
    }
    DatabasePosition apply(std::initializer_list<const protocol::Event*> events) {
        return apply_.apply(std::vector<const protocol::Event*>(events));
    }
    Error error_of(std::initializer_list<const protocol::Event*> events) {
        try {
            apply(events);
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "nothing was thrown";
        return {Reaction::Retry, ""};
    }
    std::vector<std::string> keys() {
        std::vector<std::string> result;
        for (const auto& [key, value] : session_.committed.tables["t"]) {
            result.push_back(key);
        }
        return result;
    }

    FakeSession session_;
    TransactionApply apply_{{StoreKind::Database, "app"}, session_};
    uint64_t number_ = 0;
    std::vector<std::unique_ptr<protocol::Event>> events_;
};

TEST_F(Apply, SeveralTransactionsShareACommitWithTheirPosition) {
    const auto position = apply({&insert(event(200, 100), "a"), &insert(event(300, 210), "b")});
    EXPECT_EQ(position.lsn, Lsn{310});
    EXPECT_EQ(position.position, (Position{1, 1, 2}));
    EXPECT_EQ(position.transactions, 2U);
    EXPECT_EQ(session_.commits, 1);
    EXPECT_EQ(session_.committed.state.lsn, Lsn{310});
    EXPECT_THAT(keys(), ElementsAre("a", "b"));
}

TEST_F(Apply, SkipsWhatWasAppliedBeforeButMovesThePosition) {
    apply({&insert(event(200, 100), "a")});
    const auto position = apply({&insert(event(200, 100), "again")});
    EXPECT_EQ(position.lsn, Lsn{210});
    EXPECT_EQ(position.transactions, 1U);
    EXPECT_EQ(session_.committed.state.position, (Position{1, 1, 2}));
    EXPECT_THAT(keys(), ElementsAre("a"));
    // The next transaction may begin right where the last one ended.
    EXPECT_EQ(apply({&insert(event(210, 210), "b")}).lsn, Lsn{220});
}

TEST_F(Apply, AsksForWhatIsMissing) {
    const Error error = error_of({&insert(event(300, 210), "b")});
    EXPECT_EQ(error.reaction(), Reaction::Resync);
    EXPECT_THAT(error.what(), HasSubstr("0/64"));
    EXPECT_EQ(error_of({&event(300, 100, 1, true)}).reaction(), Reaction::Resync);
    EXPECT_TRUE(keys().empty());
}

TEST_F(Apply, PartsBecomeVisibleWithTheLast) {
    apply({&insert(event(200, 100), "a"), &insert(event(300, 210, 0, false), "b")});
    EXPECT_THAT(keys(), ElementsAre("a")) << "whole transactions do not wait for parts";
    apply({&insert(event(300, 210, 1, false), "c")});
    EXPECT_THAT(keys(), ElementsAre("a"));
    EXPECT_EQ(apply_.position().lsn, Lsn{210});
    apply({&insert(event(300, 210, 2, true), "d"), &insert(event(400, 310), "e")});
    EXPECT_THAT(keys(), ElementsAre("a", "b", "c", "d", "e"));
    EXPECT_EQ(apply_.position().transactions, 3U);
}

TEST_F(Apply, PartsThatBeginAgainReplaceTheFirstOnes) {
    apply({&insert(event(300, 100, 0, false), "b"), &insert(event(300, 100, 1, false), "c")});
    // Capture went back to an earlier place: what is applied is skipped, the parts come again, and
    // may be cut elsewhere.
    apply({&insert(event(50, 40), "old")});
    apply({&insert(insert(event(300, 100, 0, false), "b"), "c"),
           &insert(event(300, 100, 1, true), "d")});
    EXPECT_THAT(keys(), ElementsAre("b", "c", "d"));
}

TEST_F(Apply, ALostConnectionUndoesWhatIsOpen) {
    for (int fail_at = 1; fail_at <= 2; ++fail_at) {
        session_.fail_at = fail_at;
        const uint64_t lsn = 200 + 100 * static_cast<uint64_t>(fail_at);
        const uint64_t before = apply_.position().lsn.value;
        const auto* first = &insert(event(lsn, before, 0, false), std::to_string(fail_at));
        const auto* second = &insert(event(lsn, before, 1, true), std::to_string(fail_at) + "b");
        EXPECT_EQ(error_of({first, second}).reaction(), Reaction::Retry);
        EXPECT_EQ(apply_.position().lsn.value, before);
        EXPECT_EQ(apply({first, second}).lsn, Lsn{lsn + 10});
    }
    EXPECT_THAT(keys(), ElementsAre("1", "1b", "2", "2b"));
}

TEST_F(Apply, ALostConnectionUndoesPartsOfEarlierCalls) {
    for (int fail_at = 1; fail_at <= 3; ++fail_at) {
        const uint64_t lsn = 200 + 100 * static_cast<uint64_t>(fail_at);
        const uint64_t before = apply_.position().lsn.value;
        const auto* first = &insert(event(lsn, before, 0, false), std::to_string(fail_at));
        const auto* second = &insert(event(lsn, before, 1, true), std::to_string(fail_at) + "b");
        session_.fail_at = fail_at;
        if (fail_at > 1) {
            apply({first});
        }
        EXPECT_EQ(error_of({fail_at > 1 ? second : first}).reaction(), Reaction::Retry);
        EXPECT_EQ(apply_.position().lsn.value, before);
        EXPECT_EQ(apply({first, second}).lsn, Lsn{lsn + 10});
    }
    EXPECT_THAT(keys(), ElementsAre("1", "1b", "2", "2b", "3", "3b"));
}

TEST_F(Apply, CommitsWhatComesBeforeARefusedTransaction) {
    const Error error = error_of({&insert(event(200, 100), "a"), &remove(event(300, 210), "x\n")});
    EXPECT_EQ(error.reaction(), Reaction::Stop);
    EXPECT_THAT(error.what(), HasSubstr("transaction 300 at 0/12C, public.t, key (id = x\\x0a)"));
    EXPECT_THAT(keys(), ElementsAre("a"));
    EXPECT_EQ(apply_.position().lsn, Lsn{210});
}

TEST_F(Apply, ARowThatIsRefusedWhileMoreAreGatheredIsNamed) {
    protocol::Event& many = event(200, 100);
    insert_many(remove(insert(many, "a"), "missing"), 50'000);
    EXPECT_THAT(error_of({&many}).what(), HasSubstr("key (id = missing)"));
    EXPECT_THAT(keys(), ElementsAre());
    session_.committed.tables["t"]["missing"] = "v";
    apply({&many});
    EXPECT_EQ(keys().size(), 50'001U);
}

TEST_F(Apply, WhatComesBeforeARowThatIsRefusedLaterIsCommitted) {
    protocol::Event& good = insert_many(event(200, 100), 15'000);
    protocol::Event& bad = insert_many(remove(event(300, 210), "missing"), 50'000);
    EXPECT_THAT(error_of({&good, &bad}).what(), HasSubstr("transaction 300 at 0/12C"));
    EXPECT_EQ(keys().size(), 15'000U);
    EXPECT_EQ(session_.committed.state.lsn, Lsn{210});
}

TEST_F(Apply, RowsAreDoneBeforeAnotherTableIsLookedFor) {
    session_.committed.tables["u"];
    protocol::Event& many = insert_many(event(200, 100), 20'000);
    v1::Relation& other = *many.payload.mutable_transaction()->add_relations();
    other = many.payload.transaction().relations(0);
    other.set_id(2);
    other.set_table("u");
    protocol::ChangeWriter writer;
    writer.insert(2, protocol::encode_row({"b", "v"}));
    add(many, writer);
    apply({&many});
    EXPECT_EQ(keys().size(), 20'000U);
    EXPECT_EQ(session_.committed.tables["u"].size(), 1U);
}

TEST_F(Apply, TransactionsThatShareAMessageAreAppliedOneByOne) {
    const auto& first = insert(event(200, 100), "a");
    const auto& three =
        joined({&first, &insert(event(300, 210), "b"), &insert(event(400, 310), "c")});
    EXPECT_EQ(apply({&first}).lsn, Lsn{210});
    const auto position = apply({&three});
    EXPECT_EQ(position.lsn, Lsn{410});
    EXPECT_EQ(position.transactions, 3U) << "the first was applied before";
    EXPECT_EQ(position.position, three.position);
    EXPECT_THAT(keys(), ElementsAre("a", "b", "c"));
}

TEST_F(Apply, CommitsWhatComesBeforeARefusedTransactionInsideAMessage) {
    const auto& first = insert(event(200, 100), "a");
    const auto& three = joined({&insert(event(300, 210), "b"), &remove(event(400, 310), "x"),
                                &insert(event(500, 410), "d")});
    const Error error = error_of({&first, &three});
    EXPECT_THAT(error.what(), HasSubstr("transaction 400"));
    EXPECT_THAT(keys(), ElementsAre("a", "b"));
    EXPECT_EQ(apply_.position().lsn, Lsn{310});
    EXPECT_EQ(apply_.position().position, first.position) << "the message is not done with";
    session_.committed.tables["t"]["x"] = "v";
    EXPECT_EQ(apply({&three}).position, three.position);
    EXPECT_THAT(keys(), ElementsAre("a", "b", "d"));
}

TEST_F(Apply, RefusesAMessageThatContradictsItself) {
    const auto refused = [&](const std::function<void(v1::Transaction&)>& spoil) {
        auto& two = joined({&insert(event(200, 100), "a"), &insert(event(300, 210), "b")});
        spoil(*two.payload.mutable_transaction());
        EXPECT_EQ(error_of({&two}).reaction(), Reaction::Stop);
        EXPECT_TRUE(keys().empty());
    };
    refused([](auto& two) { two.mutable_members(1)->set_change_bytes(1000); });
    refused([](auto& two) { two.mutable_changes()->append("more"); });
    refused([](auto& two) { two.mutable_members(0)->set_change_count(2); });
    refused([](auto& two) { two.add_statements()->set_sql("table x"); });
    refused([](auto& two) { two.set_part(1); });
    refused([](auto& two) { two.set_last(false); });
}

TEST_F(Apply, AsksForATableThatIsNotHere) {
    session_.committed.tables.clear();
    const auto* change = &insert(event(200, 100), "a");
    EXPECT_TRUE(apply_.position().copied);
    const Error error = error_of({change});
    EXPECT_EQ(error.reaction(), Reaction::Retry);
    EXPECT_THAT(error.what(), HasSubstr("public.t"));
    EXPECT_FALSE(apply_.position().copied) << "the table is to be copied first";
}

TEST_F(Apply, StopsAtATableThatIsNotHereWhereTheOperatorMakesTables) {
    session_.committed.tables.clear();
    const auto* change = &insert(event(200, 100), "a");
    TransactionApply halting({StoreKind::Database, "app"}, session_, DdlPolicy::Halt);
    try {
        halting.apply(std::vector{change});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_THAT(error.what(), HasSubstr("public.t"));
    }
    session_.committed.tables["t"];
    EXPECT_EQ(halting.apply(std::vector{change}).lsn, Lsn{210});
}

TEST_F(Apply, LeavesOutWhatATablesCopyHolds) {
    ReplicaState& state = session_.committed.state;
    state.phase = CopyPhase::Finish;
    state.finish_script = "foreign keys";
    state.tables = {{{"public", "t"}, "250:250:", Lsn{400}}};
    session_.committed.tables["t"] = {{"copied", ""}};
    apply({&insert(event(200, 100), "copied")});
    EXPECT_THAT(keys(), ElementsAre("copied"));
    EXPECT_TRUE(session_.scripts.empty());
    apply({&insert(event(300, 210), "later")});
    EXPECT_THAT(keys(), ElementsAre("copied", "later"));
    EXPECT_TRUE(apply_.position().copied);
    // A transaction without changes moves the position past the snapshot.
    protocol::Event& pass = event(500, 310);
    pass.payload.mutable_transaction()->clear_relations();
    apply({&pass});
    EXPECT_THAT(session_.scripts, ElementsAre("foreign keys"));
    EXPECT_EQ(session_.committed.state.phase, CopyPhase::Complete);
    EXPECT_TRUE(session_.committed.state.tables.empty());
}

TEST_F(Apply, RefusesForeignPayloadsAndMalformedRows) {
    protocol::Event marker;
    marker.payload.mutable_marker();
    EXPECT_EQ(error_of({&marker}).reaction(), Reaction::Stop);
    protocol::Event& narrow = event(200, 100);
    protocol::ChangeWriter writer;
    writer.insert(1, protocol::encode_row({"only one"}));
    narrow.payload.mutable_transaction()->set_change_count(writer.count());
    narrow.payload.mutable_transaction()->set_changes(writer.take());
    EXPECT_THAT(error_of({&narrow}).what(), HasSubstr("contradict"));
    protocol::Event& unknown = insert(event(200, 100), "a");
    unknown.payload.mutable_transaction()->clear_relations();
    EXPECT_THAT(error_of({&unknown}).what(), HasSubstr("contradict"));
    protocol::Event& cut = insert(event(200, 100), "a");
    cut.payload.mutable_transaction()->mutable_changes()->pop_back();
    EXPECT_EQ(error_of({&cut}).reaction(), Reaction::Stop);
    EXPECT_TRUE(keys().empty());
}

TEST_F(Apply, ChangesOfTheStructureHaveALocalTransactionOfTheirOwn) {
    protocol::Event& before = event(100, 100);
    protocol::Event& change = event(200, 110);
    change.payload.mutable_transaction()->add_statements()->set_sql("table made");
    protocol::Event& after = event(300, 210);
    apply({&before, &change, &after});
    EXPECT_EQ(session_.commits, 3);
    EXPECT_THAT(session_.scripts, ElementsAre("table made"));
    EXPECT_TRUE(session_.committed.tables.contains("made"));
    EXPECT_EQ(session_.committed.state.lsn, Lsn{310});
}

TEST_F(Apply, WhatTheCopyOfTheSchemaHoldsIsNotRunAgain) {
    session_.committed.state.phase = CopyPhase::Finish;
    session_.committed.state.tables = {{schema_name, "150:150:", Lsn{1000}}};
    for (const uint64_t xid : {140U, 160U}) {
        protocol::Event& change = event(xid, xid == 140 ? 100 : 150);
        change.payload.mutable_transaction()->add_statements()->set_sql("of " +
                                                                        std::to_string(xid));
        apply({&change});
    }
    EXPECT_THAT(session_.scripts, ElementsAre("of 160"));
}

/// The primary's bulk service, by path; a missing one ends the connection.
class FakeBulk final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, Range /*range*/, const Headers& on_headers,
               const Sink& sink, const std::stop_token& /*stop*/) override {
        std::string name = request.path;
        for (const auto& [key, value] : request.query) {
            name += key == "schema" ? "" : " " + value;
        }
        asked.push_back(name);
        const auto found = bodies.find(name);
        if (found == bodies.end()) {
            throw Error(Reaction::Retry, "connection lost");
        }
        if (on_headers) {
            on_headers({true, std::nullopt, headers});
        }
        for (const char c : found->second) {
            sink({&c, 1});
        }
        return {true, std::nullopt, headers};
    }
    std::map<std::string, std::string> bodies = {
        {"database/app/tables", "public t 5 100\n"},
        {"database/app/schema before", "table t"},
        {"database/app/schema after", "indexes"},
        {"database/app/schema finish", "foreign keys"},
        {"database/app/sequences", "public t_id_seq 7 1\n"},
        {"database/app/copy t", "id v\n1\tx\n"}};
    std::map<std::string, std::string> headers = {{protocol::confirmed_header, "0/64"},
                                                  {protocol::snapshot_header, "10:10:"},
                                                  {protocol::wal_end_header, "0/C8"}};
    std::vector<std::string> asked;
};

class Copy : public Apply {
  protected:
    Copy() { session_.committed = {}; }
    void copy() {
        apply_.initial_copy(bulk_, [](const CopyProgress&) {}, {});
    }
    FakeBulk bulk_;
};

TEST_F(Copy, GoesFromSchemaOverRowsToIndexes) {
    EXPECT_FALSE(apply_.position().copied);
    EXPECT_EQ(error_of({&insert(event(200, 100), "a")}).reaction(), Reaction::Retry);
    copy();
    EXPECT_THAT(session_.scripts, ElementsAre("table t", "indexes", "sequence t_id_seq"));
    EXPECT_THAT(keys(), ElementsAre("1\tx\n"));
    EXPECT_TRUE(apply_.position().copied);
    EXPECT_EQ(apply_.position().lsn, Lsn{100});
    bulk_.asked.clear();
    copy();
    EXPECT_TRUE(bulk_.asked.empty()) << "it is done";
}

TEST_F(Copy, GoesOnWhereItWasCutOff) {
    for (const char* missing :
         {"database/app/tables", "database/app/copy t", "database/app/sequences"}) {
        const std::string body = bulk_.bodies.at(missing);
        bulk_.bodies.erase(missing);
        EXPECT_THROW(copy(), Error) << missing;
        EXPECT_FALSE(apply_.position().copied);
        bulk_.bodies[missing] = body;
        // Read only once: later it would lie behind the first snapshots.
        bulk_.headers[protocol::confirmed_header] =
            session_.committed.state.phase == CopyPhase::None ? "0/64" : "0/6400";
    }
    copy();
    EXPECT_THAT(session_.scripts, testing::Contains("indexes"));
    EXPECT_EQ(apply_.position().lsn, Lsn{100});
    EXPECT_EQ(std::count(bulk_.asked.begin(), bulk_.asked.end(), "database/app/copy t"), 2);
}

TEST_F(Copy, RefusesADatabaseWithForeignRows) {
    session_.committed.tables["own"] = {{"1", "precious"}};
    try {
        copy();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_THAT(error.what(), HasSubstr("public.own"));
    }
    EXPECT_EQ(session_.committed.state.phase, CopyPhase::None);
}

TEST_F(Copy, LeavesTheOperatorsOwnSchemaAlone) {
    session_.committed.tables["t"];
    copy();
    EXPECT_THAT(session_.scripts, ElementsAre("sequence t_id_seq"));
    EXPECT_TRUE(session_.committed.state.finish_script.empty());
}

TEST_F(Copy, RefusesMalformedAnswers) {
    const std::map<std::string, std::string> broken = {
        {"database/app/tables", "public t 5"},
        {"database/app/copy t", "no newline"},
        {"database/app/sequences", "public s x 1\n"}};
    for (const auto& [path, body] : broken) {
        const std::string good = std::exchange(bulk_.bodies[path], body);
        EXPECT_THROW(copy(), Error) << path;
        bulk_.bodies[path] = good;
    }
    copy();
}

}  // namespace
}  // namespace antipode::secondary
