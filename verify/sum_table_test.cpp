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
    EXPECT_TRUE(sums_.check(files, 0, 100).damaged.empty());
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
    EXPECT_TRUE(sums_.check(files, 0, 100).damaged.empty());
}

}  // namespace
}  // namespace antipode::verify
