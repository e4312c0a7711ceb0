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

/// What the operator is told to do about it.
std::string step_of(const std::function<void()>& use) {
    try {
        use();
    } catch (const Error& error) {
        return error.next_step();
    }
    return "nothing: it is good";
}

TEST(Database, TellsToMoveADamagedFileAway) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "state.db";
    {
        Database database(file, Database::Sync::Full);
        database.migrate({"CREATE TABLE t (a BLOB) STRICT", "INSERT INTO t VALUES (x'00ff')"});
    }
    const auto use = [&] {
        Database database(file, Database::Sync::Full);
        database.query("SELECT * FROM t", {}, [](const RowView&) { return true; });
    };
    EXPECT_EQ(step_of(use), "nothing: it is good");
    std::string bytes = test::read_file(file);
    test::write_file(file, "no " + bytes);
    EXPECT_NE(step_of(use).find("move " + file.string()), std::string::npos) << step_of(use);
    // Behind the header: pages that are none.
    bytes.replace(100, bytes.size() - 100, std::string(bytes.size() - 100, 'x'));
    test::write_file(file, bytes);
    EXPECT_NE(step_of(use).find("move " + file.string()), std::string::npos) << step_of(use);
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
