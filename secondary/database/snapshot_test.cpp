#include "secondary/database/snapshot.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::secondary {
namespace {

TEST(Snapshot, SeesWhatWasCommittedWhenItWasTaken) {
    const auto snapshot = Snapshot::parse("100:105:101,103");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(snapshot->sees(99));
    EXPECT_TRUE(snapshot->sees(100));
    EXPECT_FALSE(snapshot->sees(101));
    EXPECT_TRUE(snapshot->sees(102));
    EXPECT_FALSE(snapshot->sees(103));
    EXPECT_TRUE(snapshot->sees(104));
    EXPECT_FALSE(snapshot->sees(105));
    EXPECT_FALSE(snapshot->sees(1000));
}

TEST(Snapshot, CountsThroughTheWrapAroundOfTransactionIds) {
    // xmax is 5 in the second round of 32-bit ids.
    const auto snapshot = Snapshot::parse("4294967290:4294967301:4294967295");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(snapshot->sees(4294967289U));
    EXPECT_TRUE(snapshot->sees(4294967290U));
    EXPECT_FALSE(snapshot->sees(4294967295U));
    EXPECT_TRUE(snapshot->sees(4)) << "4294967300";
    EXPECT_FALSE(snapshot->sees(5));
    EXPECT_FALSE(snapshot->sees(100));
}

TEST(Snapshot, HasNoTransactionsBeforeTheFirst) {
    const auto snapshot = Snapshot::parse("740:740:");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(snapshot->sees(3));
    EXPECT_FALSE(snapshot->sees(4294967290U)) << "a late one of this round, not an early one";
}

TEST(Snapshot, RefusesMalformedTexts) {
    for (const char* text : {"", "1", "1:2", "2:1:", "a:b:", "1:2:3,", "1:2:3;4", "1:2:,3"}) {
        EXPECT_FALSE(Snapshot::parse(text)) << text;
    }
    EXPECT_THROW(CopiedTables({{{"public", "t"}, "nonsense", Lsn{1}}}), Error);
}

TEST(CopiedTables, HoldEachTablesOwnSnapshot) {
    const TableName a{"public", "a"};
    const TableName b{"public", "b"};
    const CopiedTables copied({{a, "100:100:", Lsn{1000}}, {b, "200:200:", Lsn{2000}}});
    EXPECT_TRUE(copied.contains(a, 99, Lsn{900}));
    EXPECT_FALSE(copied.contains(a, 150, Lsn{900}));
    EXPECT_TRUE(copied.contains(b, 150, Lsn{900}));
    EXPECT_FALSE(copied.contains({"public", "c"}, 99, Lsn{900}));
    // From a copy's end of log on, an id may come again after 2^32 transactions.
    EXPECT_FALSE(copied.contains(a, 99, Lsn{1000}));
    EXPECT_EQ(copied.needed_below(), Lsn{2000});
}

TEST(CopiedTables, HoldAllOfATableThatIsYetToBeCopied) {
    const TableName a{"public", "a"};
    const TableName b{"public", "b"};
    const CopiedTables copied({}, {{a, false}, {b, true}});
    EXPECT_FALSE(copied.empty());
    EXPECT_TRUE(copied.contains(a, 99, Lsn{900}));
    EXPECT_FALSE(copied.contains(b, 99, Lsn{900}));
    EXPECT_EQ(copied.needed_below(), Lsn{});
}

TEST(CopiedTables, HoldEachRangesOwnSnapshot) {
    const TableName a{"public", "a"};
    const CopiedTables copied({{a, "100:100:", Lsn{1000}, {"id", std::nullopt, 10}},
                               {a, "200:200:", Lsn{2000}, {"id", 10, std::nullopt}}});
    EXPECT_TRUE(copied.contains(a, 99, Lsn{900}));
    EXPECT_FALSE(copied.contains(a, 150, Lsn{900}));
    const auto between = copied.coverage(a, 150, Lsn{900});
    EXPECT_EQ(between.column(), "id");
    EXPECT_FALSE(between.contains(10));
    EXPECT_TRUE(between.contains(11));
    const auto later = copied.coverage(a, 250, Lsn{900});
    EXPECT_TRUE(!later.all && later.ranges.empty());
}

}  // namespace
}  // namespace antipode::secondary
