#include "primary/database/transaction_cutter.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

RelationShape relation(uint32_t id, const std::string& schema = "public") {
    return {id, {schema, "t" + std::to_string(id)}, 'd', {{"id", 23, -1, true}}};
}

class Cutter : public testing::Test {
  protected:
    Cutter() { cutter_.start(Lsn{50}); }

    void begin(uint64_t commit_lsn) { add(DecodedBegin{7, Lsn{commit_lsn}, {}}); }
    void insert(uint32_t id, const std::string& value = "v") {
        const std::string row = protocol::encode_row({value});
        DecodedRow change;
        change.relation = id;
        change.new_row = row;
        add(change);
    }
    void commit(uint64_t commit_lsn) {
        add(DecodedCommit{Lsn{commit_lsn}, Lsn{commit_lsn + 10}, committed_at_});
    }
    void add(const Decoded& decoded) { cutter_.add(decoded, events_); }
    void flush() { cutter_.flush(events_); }
    const v1::Transaction& at(size_t i) {
        return std::get<CapturedTransaction>(events_.at(i)).transaction;
    }

    const TimePoint committed_at_ = from_microseconds(77);
    TransactionCutter cutter_{100};
    std::vector<DatabaseEvent> events_;
};

TEST_F(Cutter, ChainsTransactionsByTheEndOfTheOneBefore) {
    add(relation(1));
    begin(100);
    insert(1);
    commit(100);
    flush();
    begin(200);
    commit(200);  // nothing in it
    begin(300);
    insert(1);
    commit(300);
    flush();
    ASSERT_EQ(events_.size(), 2U);
    EXPECT_EQ(at(0).after_lsn(), 50U);
    EXPECT_EQ(at(0).end_lsn(), 110U);
    EXPECT_EQ(at(0).xid(), 7U);
    EXPECT_TRUE(at(0).last());
    EXPECT_EQ(at(0).members_size(), 0) << "it says all itself";
    EXPECT_EQ(at(1).after_lsn(), 110U);
    EXPECT_EQ(at(1).change_count(), 1U);
    EXPECT_EQ(cutter_.end(), Lsn{310});
}

TEST_F(Cutter, LetsSmallTransactionsShareAMessage) {
    add(relation(1));
    add(relation(2));
    begin(100);
    insert(1);
    commit(100);
    begin(200);
    insert(1);
    insert(2);
    commit(200);
    EXPECT_TRUE(events_.empty());
    EXPECT_TRUE(cutter_.holds_any());
    EXPECT_EQ(cutter_.end(), Lsn{210});
    flush();
    flush();
    EXPECT_FALSE(cutter_.holds_any());
    ASSERT_EQ(events_.size(), 1U);
    EXPECT_EQ(at(0).after_lsn(), 50U);
    EXPECT_EQ(at(0).commit_lsn(), 200U);
    EXPECT_EQ(at(0).end_lsn(), 210U);
    EXPECT_EQ(at(0).change_count(), 3U);
    EXPECT_EQ(at(0).relations_size(), 2);
    ASSERT_EQ(at(0).members_size(), 2);
    EXPECT_EQ(at(0).members(0).commit_lsn(), 100U);
    EXPECT_EQ(at(0).members(0).end_lsn(), 110U);
    EXPECT_EQ(at(0).members(0).change_count(), 1U);
    EXPECT_EQ(at(0).members(1).change_count(), 2U);
    EXPECT_EQ(at(0).members(0).change_bytes() + at(0).members(1).change_bytes(),
              at(0).changes().size());
}

TEST_F(Cutter, EndsAMessageWhereSomethingElseFollows) {
    add(relation(1));
    const auto small = [&](uint64_t lsn) {
        begin(lsn);
        insert(1);
        commit(lsn);
    };
    small(100);
    begin(200);
    insert(1, std::string(150, 'a'));  // cut: a large one
    insert(1);
    commit(200);
    ASSERT_EQ(events_.size(), 3U);
    EXPECT_EQ(at(0).commit_lsn(), 100U);
    EXPECT_EQ(at(1).after_lsn(), 110U);
    small(300);
    add(relation(1));  // its shape may have changed
    small(400);
    ASSERT_EQ(events_.size(), 4U);
    EXPECT_EQ(at(3).commit_lsn(), 300U);
    DdlStatement statement;
    statement.sql = "alone";
    begin(500);
    add(statement);
    commit(500);
    ASSERT_EQ(events_.size(), 6U);
    EXPECT_EQ(at(4).commit_lsn(), 400U);
    EXPECT_EQ(at(5).after_lsn(), 410U);
    for (uint64_t lsn = 600; events_.size() == 6; lsn += 100) {
        ASSERT_LT(lsn, 5000U) << "the size of a part ends a message, too";
        small(lsn);
    }
    EXPECT_GT(at(6).members_size(), 1);
}

TEST_F(Cutter, CutsLargeTransactionsAndDescribesTablesInEachPart) {
    add(relation(1));
    add(relation(2));
    begin(100);
    insert(1, std::string(150, 'a'));
    insert(2, std::string(150, 'b'));
    insert(1, "c");
    commit(100);
    ASSERT_EQ(events_.size(), 3U);
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(at(i).part(), i);
        EXPECT_EQ(at(i).last(), i == 2);
        EXPECT_EQ(at(i).after_lsn(), 50U);
        EXPECT_EQ(at(i).commit_lsn(), 100U);
        ASSERT_EQ(at(i).relations_size(), 1);
        EXPECT_EQ(at(i).relations(0).table(), i == 1 ? "t2" : "t1");
    }
    EXPECT_EQ(at(0).end_lsn(), 0U);
    EXPECT_EQ(at(2).end_lsn(), 110U);
}

TEST_F(Cutter, EndsALargeTransactionThatWasCutAtItsLastChange) {
    add(relation(1));
    begin(100);
    insert(1, std::string(150, 'a'));
    commit(100);
    ASSERT_EQ(events_.size(), 2U);
    EXPECT_TRUE(at(1).last());
    EXPECT_EQ(at(1).change_count(), 0U);
}

TEST_F(Cutter, CutsWhereATableChangesItsShape) {
    add(relation(1));
    begin(100);
    insert(1);
    RelationShape wider = relation(1);
    wider.columns.push_back({"more", 25, -1, false});
    add(wider);
    insert(1);
    commit(100);
    flush();
    ASSERT_EQ(events_.size(), 2U);
    EXPECT_EQ(at(0).relations(0).columns_size(), 1);
    EXPECT_EQ(at(1).relations(0).columns_size(), 2);
}

TEST_F(Cutter, PutsStatementsBeforeTheRowsThatFollowThem) {
    const auto run = [&](const std::string& sql) {
        DdlStatement statement;
        statement.sql = sql;
        add(statement);
    };
    add(relation(1));
    begin(100);
    insert(1);
    run("first");
    run("second");
    insert(1);
    run("third");
    run(std::string(100, 'x'));
    run("last");
    commit(100);
    begin(200);
    run("alone");
    commit(200);
    ASSERT_EQ(events_.size(), 5U);
    EXPECT_EQ(at(0).statements_size(), 0);
    ASSERT_EQ(at(1).statements_size(), 2);
    EXPECT_EQ(at(1).statements(0).sql(), "first");
    EXPECT_EQ(at(1).statements(1).sql(), "second");
    EXPECT_EQ(at(1).change_count(), 1U);
    EXPECT_EQ(at(2).statements_size(), 2) << "cut by size";
    EXPECT_EQ(at(3).statements(0).sql(), "last");
    EXPECT_TRUE(at(3).last());
    EXPECT_EQ(at(4).statements_size(), 1);
    EXPECT_EQ(at(4).part(), 0U);
    EXPECT_THROW(run("outside"), Error);
}

TEST_F(Cutter, LetsBarriersStandAlone) {
    add(relation(1));
    begin(100);
    insert(1);
    commit(100);
    begin(200);
    add(DecodedBarrier{"id", "7:9:"});
    commit(200);
    begin(300);
    insert(1);
    add(DecodedBarrier{"among rows", ""});
    commit(300);
    flush();
    ASSERT_EQ(events_.size(), 3U);
    EXPECT_FALSE(at(0).has_barrier());
    EXPECT_EQ(at(1).barrier().check(), "id");
    EXPECT_EQ(at(1).barrier().snapshot(), "7:9:");
    EXPECT_EQ(at(1).change_count(), 0U);
    EXPECT_EQ(at(1).after_lsn(), 110U);
    EXPECT_FALSE(at(2).has_barrier());
    EXPECT_EQ(at(2).after_lsn(), 210U);
}

TEST_F(Cutter, LeavesOutItsOwnSchema) {
    add(relation(1, "antipode"));
    add(relation(2));
    begin(100);
    insert(1);
    add(DecodedTruncate{{1}, false, false});
    commit(100);
    EXPECT_TRUE(events_.empty());
    begin(200);
    add(DecodedTruncate{{1, 2}, false, true});
    commit(200);
    flush();
    ASSERT_EQ(events_.size(), 1U);
    EXPECT_EQ(at(0).relations_size(), 1);
}

TEST_F(Cutter, StartsAfreshAfterABreak) {
    add(relation(1));
    begin(100);
    insert(1, std::string(150, 'a'));
    cutter_.start(Lsn{60});
    EXPECT_FALSE(cutter_.holds_any());
    EXPECT_FALSE(cutter_.in_transaction());
    EXPECT_THROW(insert(1), Error) << "tables are described again";
    cutter_.start(Lsn{60});
    add(relation(1));
    begin(100);
    insert(1);
    commit(100);
    flush();
    EXPECT_EQ(at(1).part(), 0U);
    EXPECT_EQ(at(1).after_lsn(), 60U);
    EXPECT_EQ(at(1).change_count(), 1U);
}

TEST_F(Cutter, RefusesWhatCannotBe) {
    EXPECT_THROW(commit(100), Error);
    begin(100);
    EXPECT_THROW(begin(200), Error);
    EXPECT_THROW(commit(300), Error);
    EXPECT_THROW(insert(9), Error);
}

TEST_F(Cutter, PassesWithoutChanges) {
    const auto passed = cutter_.pass(Lsn{500}, {}).transaction;
    EXPECT_EQ(passed.after_lsn(), 50U);
    EXPECT_EQ(passed.commit_lsn(), 500U);
    EXPECT_EQ(passed.end_lsn(), 500U);
    EXPECT_TRUE(passed.last());
    EXPECT_EQ(cutter_.end(), Lsn{500});
}

TEST_F(Cutter, WhatIsBrokenOffBeginsAgainBehindTheOther) {
    add(relation(1));
    add(relation(2));
    begin(90);
    insert(1, std::string(150, 'x'));
    insert(2);
    add(DecodedBreakOff{});
    EXPECT_FALSE(cutter_.in_transaction());
    begin(100);
    insert(2);
    commit(100);
    begin(200);
    insert(1, std::string(150, 'x'));
    commit(200);
    flush();
    ASSERT_EQ(events_.size(), 4U);
    EXPECT_EQ(at(0).commit_lsn(), 90U);
    EXPECT_FALSE(at(0).last());
    EXPECT_EQ(at(1).commit_lsn(), 100U);
    EXPECT_EQ(at(1).after_lsn(), 50U) << "the one that was broken off did not end";
    EXPECT_EQ(at(1).change_count(), 1U);
    EXPECT_EQ(at(1).relations_size(), 1);
    EXPECT_EQ(at(2).commit_lsn(), 200U);
    EXPECT_EQ(at(2).part(), 0U);
    EXPECT_EQ(at(2).after_lsn(), 110U);
    EXPECT_TRUE(at(3).last());
    EXPECT_EQ(at(3).commit_time_us(), 77) << "known only at its end";
    add(DecodedBreakOff{});  // nothing is open
    EXPECT_EQ(cutter_.end(), Lsn{210});
}

}  // namespace
}  // namespace antipode::primary
