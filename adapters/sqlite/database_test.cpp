#include "adapters/sqlite/database.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::sqlite {
namespace {

TEST(Database, RollsBackWhenTheBodyThrows) {
    Database database({}, Database::Sync::Full);
    database.migrate({"CREATE TABLE t (a INTEGER NOT NULL, b BLOB) STRICT"});
    EXPECT_THROW(database.transaction([&] {
        database.execute("INSERT INTO t VALUES (?, ?)", {int64_t{1}, Bytes{std::string("\0x", 2)}});
        throw Error(Reaction::Retry, "interrupted");
    }),
                 Error);
    EXPECT_EQ(database.query_integer("SELECT count(*) FROM t"), 0);
}

TEST(Database, KeepsBytesAndMigratesOnce) {
    const test::TemporaryDirectory directory;
    const std::vector<std::string> migrations = {"CREATE TABLE t (a BLOB) STRICT",
                                                 "INSERT INTO t VALUES (x'00ff')"};
    for (int run = 0; run < 2; ++run) {
        Database database(directory / "state.db", Database::Sync::Full);
        database.migrate(migrations);
        EXPECT_EQ(database.query_integer("SELECT count(*) FROM t"), 1);
        database.query("SELECT a FROM t", {}, [](const RowView& row) {
            EXPECT_EQ(row.text(0), std::string("\0\xff", 2));
            return true;
        });
    }
    Database database(directory / "state.db", Database::Sync::Full);
    EXPECT_THROW(database.migrate({migrations[0]}), Error) << "written by a newer version";
}

TEST(Database, NamesTheFileThatCannotBeOpened) {
    try {
        Database database("/nonexistent/state.db", Database::Sync::Full);
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("/nonexistent/state.db"), std::string::npos);
    }
}

}  // namespace
}  // namespace antipode::sqlite
