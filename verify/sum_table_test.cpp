#include "verify/sum_table.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::verify {
namespace {

using sqlite::Bytes;

const StoreId files{StoreKind::Blobs, "files"};
const Digest one{"blob-1", "one"};
const Digest two{"blob-1", "two"};

class SumTableTest : public testing::Test {
  protected:
    SumTableTest() {
        database_.migrate(
            {"CREATE TABLE item (store TEXT NOT NULL, item BLOB NOT NULL, "
             "digest_algorithm TEXT NOT NULL, digest BLOB NOT NULL, "
             "PRIMARY KEY (store, item)) STRICT, WITHOUT ROWID;" +
             SumTable::migration("item")});
        sums_.load();
    }
    /// As the owners do it.
    void put(const std::string& item, const Digest& before, const Digest& after) {
        try {
            database_.transaction([&] {
                sums_.change(files, item, before, after, {1, 1, ++number_});
                database_.execute("INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?)",
                                  {files.to_string(), Bytes{item}, after.algorithm,
                                   Bytes{after.value}, int64_t{bucket_of(item)}});
                sums_.flush();
            });
        } catch (const Error&) {
            sums_.forget();
            throw;
        }
    }
    /// Somebody else does this to the state database.
    void meanwhile(const std::string& sql) {
        sqlite::Database other(file_, sqlite::Database::Sync::Normal);
        other.execute(sql);
    }

    test::TemporaryDirectory directory_;
    const std::filesystem::path file_ = directory_.path() / "state.db";
    sqlite::Database database_{file_, sqlite::Database::Sync::Normal};
    SumTable sums_{database_, "item"};
    uint64_t number_ = 0;
};

TEST_F(SumTableTest, SumsThatCouldNotBeReadAgainAreNotBelieved) {
    put("a", {}, one);
    put("b", {}, one);
    const InventorySum both = sums_.total(files);
    EXPECT_EQ(both.items, 2u);

    meanwhile("ALTER TABLE inventory_sum RENAME TO away");
    EXPECT_THROW(put("a", one, two), Error);
    EXPECT_THROW(sums_.total(files), Error);
    EXPECT_THROW(put("b", one, two), Error);
    meanwhile("ALTER TABLE away RENAME TO inventory_sum");
    EXPECT_EQ(sums_.total(files), both);
    put("a", one, {});
    EXPECT_EQ(sums_.total(files), sum_of("b", one));
    EXPECT_TRUE(sums_.check(files, 100).damaged.empty());
}

TEST_F(SumTableTest, FillingInThatFailsBeginsAgain) {
    put("a", {}, one);
    put("b", {}, two);
    const InventorySum both = sums_.total(files);
    meanwhile("UPDATE item SET bucket = -1");
    meanwhile("DELETE FROM inventory_sum");
    // The second of its rows cannot be changed: the first was counted by then.
    meanwhile(
        "CREATE TRIGGER refuse BEFORE UPDATE ON item WHEN old.item = CAST('b' AS BLOB) "
        "BEGIN SELECT RAISE(ABORT, 'no'); END");
    sums_.forget();
    EXPECT_THROW(sums_.total(files), Error);
    meanwhile("DROP TRIGGER refuse");
    EXPECT_EQ(sums_.total(files), both);
    EXPECT_TRUE(sums_.check(files, 100).damaged.empty());
}

TEST_F(SumTableTest, WhatChangesDuringAPassIsNoDamage) {
    const auto name = [](int i) { return "item " + std::to_string(100 + i); };
    for (int i = 0; i < 100; i += 2) {
        put(name(i), {}, one);
    }
    put("gone", {}, one);
    EXPECT_FALSE(sums_.check(files, 20).ended);
    // What was read already, what comes next, and what nobody has yet, on both sides.
    for (int i = 0; i < 100; ++i) {
        put(name(i), i % 2 == 0 ? one : Digest{}, two);
    }
    put("gone", one, {});
    EXPECT_FALSE(sums_.check(files, 60).ended);
    for (int i = 0; i < 100; i += 3) {
        put(name(i), two, {});
    }
    auto checked = sums_.check(files, 100);
    EXPECT_TRUE(checked.ended);
    EXPECT_TRUE(checked.damaged.empty());

    const auto damage = [&](int item) {
        meanwhile("UPDATE item SET digest = CAST('other' AS BLOB) WHERE item = CAST('" +
                  name(item) + "' AS BLOB)");
    };
    damage(91);
    EXPECT_FALSE(sums_.check(files, 20).ended);
    damage(1);
    damage(92);
    checked = sums_.check(files, 100);
    EXPECT_TRUE(checked.ended);
    EXPECT_EQ(checked.damaged.size(), 2u) << "the first one was read before";
    for (const uint32_t bucket : {bucket_of(name(1)), bucket_of(name(91)), bucket_of(name(92))}) {
        database_.transaction([&] { EXPECT_TRUE(sums_.rebuild(files, bucket)); });
    }
    EXPECT_TRUE(sums_.check(files, 1000).damaged.empty());
}

TEST_F(SumTableTest, APassBeginsAgainWhenWhatIsInMemoryIsNotBelieved) {
    put("a", {}, one);
    put("b", {}, one);
    EXPECT_FALSE(sums_.check(files, 1).ended);
    sums_.forget();
    meanwhile("UPDATE item SET digest = CAST('x' AS BLOB) WHERE item = CAST('a' AS BLOB)");
    EXPECT_EQ(sums_.check(files, 3).damaged, std::vector{bucket_of("a")});
}

}  // namespace
}  // namespace antipode::verify
