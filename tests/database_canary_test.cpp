// A write through a database that was just opened, on a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/canary.hpp"
#include "base/error.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

TEST(Canary, IsWrittenOnceMoreEachTimeAndNamesWhatRefusesIt) {
    const TemporaryDirectory directory;
    PostgresServer server(directory / "postgres");
    server.start();
    server.psql("CREATE ROLE daemon LOGIN SUPERUSER");
    const std::string url = server.url("postgres", "daemon");
    const auto refusal = [&]() -> std::string {
        try {
            postgres::write_canary(url, "antipode canary", "promote-3");
            return {};
        } catch (const Error& error) {
            return error.what();
        }
    };
    const Lsn first = postgres::write_canary(url, "antipode canary", "switchover-1");
    const Lsn second = postgres::write_canary(url, "antipode canary", "switchover-2");
    EXPECT_GT(second, first) << "nothing was written";
    EXPECT_EQ(server.psql("SELECT word FROM antipode.canary"), "switchover-2");

    server.psql("ALTER TABLE antipode.canary ADD CONSTRAINT no CHECK (word NOT LIKE 'promote%')");
    EXPECT_THAT(refusal(), HasSubstr("violates check constraint"));
    server.psql("ALTER TABLE antipode.canary DROP CONSTRAINT no");
    // What swallows rows without a word.
    server.psql(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'");
    server.psql(
        "CREATE TRIGGER swallow BEFORE INSERT OR UPDATE ON antipode.canary FOR EACH ROW "
        "EXECUTE FUNCTION swallow(); "
        "ALTER TABLE antipode.canary ENABLE ALWAYS TRIGGER swallow");
    EXPECT_THAT(refusal(), HasSubstr("\"promote-3\" was written, and \"switchover-2\" is read"));
    EXPECT_EQ(server.psql("SELECT word FROM antipode.canary"), "switchover-2");
}

}  // namespace
}  // namespace antipode::test
