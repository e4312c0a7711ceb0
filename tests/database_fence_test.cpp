#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/write_fence.hpp"
#include "tests/support/database_roles.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Nobody but the daemon writes to the secondary's database.
class DatabaseFence : public DatabaseRoles {
  protected:
    DatabaseFence() : fence_({b_.url("app", "mirror"), "antipode fence", {"reader"}}) {
        on_a("CREATE ROLE writer LOGIN");
        b_.psql("CREATE ROLE writer LOGIN");
        as("app_owner",
           "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('a'); "
           "GRANT SELECT ON t TO reader, PUBLIC; GRANT SELECT, INSERT ON t TO writer; "
           "GRANT USAGE, CREATE ON SCHEMA public TO other, reader");
        as("other", "CREATE TABLE others (id int PRIMARY KEY)");
        start_capture();
        copy();
    }

    /// What the server says to `sql` as `role`, who knows how to write in a read-only session.
    std::string answer(const std::string& role, const std::string& sql) {
        try {
            postgres::Connection client(b_.url("app", role), "client");
            client.execute("trying",
                           "SET default_transaction_read_only = off; SET search_path = "
                           "public; " +
                               sql);
            return "done";
        } catch (const Error& error) {
            return error.what();
        }
    }
    static auto writer_is(const std::string& role, const std::string& why) {
        return AllOf(testing::Field(&FenceState::Writer::role, role),
                     testing::Field(&FenceState::Writer::why, HasSubstr(why)));
    }
    std::string rights() {
        return b_.psql(
            "SELECT string_agg(a.grantee::regrole::text, ',' ORDER BY 1) FROM pg_database d, "
            "aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE datname = 'app' "
            "AND privilege_type = 'CONNECT'; SELECT setconfig FROM pg_db_role_setting");
    }

    postgres::DatabaseFence fence_;
};

TEST_F(DatabaseFence, LetsReadersReadAndNobodyWrite) {
    EXPECT_EQ(answer("reader", "SELECT * FROM t"), "done");
    for (const char* sql :
         {"INSERT INTO t (v) VALUES ('x')", "UPDATE t SET v = 'x'", "DELETE FROM t", "TRUNCATE t",
          "SELECT nextval('t_id_seq')", "COPY t FROM STDIN"}) {
        EXPECT_THAT(answer("reader", sql), HasSubstr("permission denied")) << sql;
    }
    EXPECT_THAT(answer("reader", "CREATE TABLE mine (id int)"),
                HasSubstr("cannot execute CREATE TABLE: this database is a mirror"));
    for (const char* role : {"app_owner", "other", "writer"}) {
        EXPECT_THAT(answer(role, "SELECT 1"), HasSubstr("permission denied for database")) << role;
    }
    // A superuser has to say so: the hole that is left.
    EXPECT_THAT([&] { on_b("DELETE FROM t"); },
                testing::ThrowsMessage<std::runtime_error>(HasSubstr("read-only transaction")));
    const FenceState state = fence_.look();
    EXPECT_TRUE(state.set_up && state.closed);
    EXPECT_THAT(state.writers, IsEmpty());
    EXPECT_THAT(state.kept_out, IsEmpty());
    as("app_owner", "INSERT INTO t (v) VALUES ('b'); ALTER TABLE t ADD n int; UPDATE t SET n = 1");
    follow();
}

TEST_F(DatabaseFence, SurvivesRightsThatArriveFromThePrimary) {
    postgres::Connection reading(b_.url("app", "reader"), "client");
    as("app_owner", "GRANT UPDATE (v) ON t TO reader");
    follow();
    EXPECT_THAT(fence_.look().writers, ElementsAre(writer_is("reader", "may write to public.t")));
    fence_.close_for_writes();
    EXPECT_THAT(answer("reader", "SELECT 1"), HasSubstr("permission denied for database"));
    EXPECT_TRUE(eventually([&] {
        try {
            reading.execute("reading", "SELECT 1");
            return false;
        } catch (const Error&) {
            return true;
        }
    }));
    EXPECT_THAT(fence_.look().writers, IsEmpty());
    EXPECT_THAT(fence_.look().kept_out, ElementsAre(writer_is("reader", "may write to public.t")));
    as("app_owner", "REVOKE UPDATE (v) ON t FROM reader");
    follow();
    fence_.close_for_writes();
    EXPECT_EQ(answer("reader", "SELECT * FROM t"), "done");
}

TEST_F(DatabaseFence, FindsEveryWayToBecomeAWriter) {
    const auto kept_out = [&](const std::string& sql, const std::string& undo) {
        b_.psql(sql);
        const auto found = fence_.look().kept_out;
        b_.psql(undo);
        return found.empty() ? std::string() : found[0].role + " " + found[0].why;
    };
    EXPECT_THAT(kept_out("ALTER ROLE reader NOINHERIT; GRANT other TO reader",
                         "REVOKE other FROM reader; ALTER ROLE reader INHERIT"),
                HasSubstr("may write to public.others"));
    EXPECT_THAT(kept_out("GRANT mirror TO reader", "REVOKE mirror FROM reader"),
                HasSubstr("may act as the daemon's role"));
    EXPECT_THAT(kept_out("GRANT postgres TO reader", "REVOKE postgres FROM reader"),
                HasSubstr("may act as the superuser"));
    EXPECT_THAT(kept_out("ALTER ROLE reader CREATEROLE", "ALTER ROLE reader NOCREATEROLE"),
                HasSubstr("CREATEROLE"));
    EXPECT_THAT(
        kept_out("GRANT pg_write_all_data TO reader", "REVOKE pg_write_all_data FROM reader"),
        HasSubstr("may write to"));
    EXPECT_THAT(kept_out("GRANT reader TO writer", "REVOKE reader FROM writer"),
                HasSubstr("writer may write to public.t"));
    EXPECT_THAT(fence_.look().kept_out, IsEmpty());
    EXPECT_THAT(fence_.look().definers, IsEmpty());
    as("app_owner",
       "CREATE FUNCTION note() RETURNS void SECURITY DEFINER LANGUAGE sql AS "
       "'INSERT INTO t (v) VALUES (1)'");
    catch_up();
    EXPECT_THAT(fence_.look().definers, ElementsAre("public.note()"));
}

TEST_F(DatabaseFence, ShutsTheOwnerOutAgainWhoLetHimselfIn) {
    postgres::Connection elsewhere(b_.url("postgres", "app_owner"), "client");
    elsewhere.execute("letting himself in", "GRANT CONNECT ON DATABASE app TO app_owner");
    EXPECT_THAT(fence_.look().writers, ElementsAre(writer_is("app_owner", "may write to")));
    postgres::Connection inside(b_.url("app", "app_owner"), "client");
    fence_.close_for_writes();
    EXPECT_THAT(fence_.look().writers, IsEmpty());
    EXPECT_THAT(answer("app_owner", "SELECT 1"), HasSubstr("permission denied for database"));
    EXPECT_TRUE(eventually([&] {
        return b_.psql(
                   "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' "
                   "AND usename = 'app_owner'") == "0";
    }));
}

TEST_F(DatabaseFence, OpensAsItWasBeforeAndClosesAgain) {
    fence_.open_for_writes();
    const std::string before = rights();
    EXPECT_EQ(before, "-,app_owner,mirror");
    fence_.open_for_writes();
    EXPECT_EQ(rights(), before);
    EXPECT_FALSE(fence_.look().closed);
    EXPECT_EQ(
        answer("app_owner", "INSERT INTO t (v) VALUES ('local'); CREATE TABLE local (id int)"),
        "done");
    EXPECT_EQ(answer("writer", "INSERT INTO t (id, v) VALUES (99, 'local')"), "done");
    fence_.close_for_writes();
    EXPECT_THAT(answer("app_owner", "SELECT 1"), HasSubstr("permission denied for database"));
    EXPECT_EQ(rights(), "mirror,reader\n{default_transaction_read_only=on}");
    b_.psql("ALTER DATABASE app SET default_transaction_read_only = off");
    fence_.close_for_writes();
    fence_.open_for_writes();
    EXPECT_EQ(rights(), before);
}

TEST_F(DatabaseFence, SaysWhatToRunWhereNothingWasSetUp) {
    b_.psql("CREATE DATABASE fresh OWNER mirror");
    postgres::DatabaseFence fresh({b_.url("fresh", "mirror"), "antipode fence", {}});
    EXPECT_FALSE(fresh.look().set_up);
    EXPECT_THAT(error_of([&] { fresh.close_for_writes(); }, Reaction::Stop),
                HasSubstr("antipode database setup"));
}

}  // namespace
}  // namespace antipode::test
