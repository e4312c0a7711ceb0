// Two sites whose daemons are no superusers: who may write on the secondary, what readers there may
// hold up, and the way past a transaction that cannot be applied.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

/// "report" reads on sydney, "app_owner" is the application.
class ReadOnly : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        shared = std::make_unique<TwoSites>("", "readers = [\"report\"]\nlock_grace = \"1s\"\n",
                                            TwoSites::Daemons::Unprivileged);
    }
    static void TearDownTestSuite() { shared.reset(); }

    void SetUp() override {
        write(
            "TRUNCATE uploads, journal; "
            "INSERT INTO uploads SELECT i, 'oid', 'path' FROM generate_series(1, 100) i");
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
        sites_.expect_equal();
    }

    /// As the application on the primary.
    void write(const std::string& sql) const { as("app_owner", sites_.london, sql); }
    static void as(const std::string& role, const Site& site, const std::string& sql) {
        const CommandResult done = psql(role, site, sql);
        EXPECT_EQ(done.status, 0) << sql << ": " << done.error;
    }
    static CommandResult psql(const std::string& role, const Site& site, const std::string& sql) {
        return run({PostgresServer::program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1",
                    site.postgres.url("app", role)},
                   sql);
    }
    /// What sydney's server says to it.
    std::string refusal(const std::string& role, const std::string& sql) const {
        const CommandResult done = psql(role, sites_.sydney, sql);
        EXPECT_NE(done.status, 0) << sql;
        return done.error;
    }
    /// By hand on sydney, as only a superuser who says so can.
    void meddle(const std::string& sql) const {
        as("postgres", sites_.sydney,
           "SET default_transaction_read_only = off; SET session_replication_role = replica; " +
               sql);
    }
    std::string of_database(const std::string& field) const {
        return sites_.sydney.status(".stores[] | select(.store == \"database/app\") | ." + field)
            .value_or("");
    }
    /// A reader's session on sydney that runs `sql` and then does nothing.
    postgres::Connection reader(const std::string& sql) const {
        postgres::Connection client(sites_.sydney.postgres.url("app", "report"), "report");
        client.execute("reading", sql);
        return client;
    }
    static bool is_alive(postgres::Connection& client) {
        try {
            client.execute("reading", "SELECT 1");
            return true;
        } catch (const Error&) {
            return false;
        }
    }

    /// Each test begins with the same rows, not with new servers.
    inline static std::unique_ptr<TwoSites> shared;
    TwoSites& sites_ = *shared;
};

TEST_F(ReadOnly, NobodyButTheDaemonWritesAndItIsNoSuperuser) {
    for (const Site* site : {&sites_.london, &sites_.sydney}) {
        EXPECT_EQ(site->sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'antipode'"), "f");
        EXPECT_EQ(site->sql("SELECT count(DISTINCT usename) FROM pg_stat_activity WHERE "
                            "application_name LIKE 'antipode %' AND usename <> 'antipode'"),
                  "0");
    }
    EXPECT_THAT(refusal("app_owner", "INSERT INTO journal VALUES ('x')"),
                HasSubstr("permission denied for database \"app\""));
    EXPECT_THAT(refusal("report", "INSERT INTO journal VALUES ('x')"),
                HasSubstr("cannot execute INSERT in a read-only transaction"));
    const std::string allowed = "SET default_transaction_read_only = off; ";
    EXPECT_THAT(refusal("report", allowed + "INSERT INTO journal VALUES ('x')"),
                HasSubstr("permission denied for table journal"));
    EXPECT_THAT(refusal("report", allowed + "CREATE TABLE mine (id int)"),
                HasSubstr("cannot execute CREATE TABLE: this database is a mirror"));
    as("report", sites_.sydney, "SELECT count(*) FROM uploads");
    EXPECT_TRUE(eventually([&] { return of_database("read_only.state") == "enforced"; }))
        << sites_.describe();
    const CommandResult doctor = sites_.sydney.antipode({"doctor"});
    EXPECT_THAT(doctor.output, AllOf(HasSubstr("nobody but the daemon and superusers may write"),
                                     HasSubstr("can be written as role antipode")));
    // Tables without a key, made later, get an identity from a daemon that owns nothing.
    write("CREATE TABLE late (v int); INSERT INTO late VALUES (1)");
    EXPECT_TRUE(eventually([&] {
        return psql("app_owner", sites_.london, "UPDATE late SET v = 2").status == 0;
    })) << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_EQ(sites_.sydney.sql("SELECT v FROM late"), "2");
}

TEST_F(ReadOnly, ReadersHoldUpNoRowsAndWhatNeedsATableForAWhileOnly) {
    auto report = reader("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM public.uploads");
    auto elsewhere = reader("BEGIN; SELECT * FROM public.journal");
    write("UPDATE uploads SET note = 'new'; DELETE FROM uploads WHERE id > 50");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_EQ(report.query("reading", "SELECT count(*) FROM public.uploads").integer(0, 0), 100);
    sites_.expect_equal();
    // A query that runs, and a transaction that does nothing.
    Process::Options options;
    options.log = sites_.temporary.path() / "query.log";
    Process query(
        {PostgresServer::program("psql"), "-X", sites_.sydney.postgres.url("app", "report"), "-c",
         "SELECT count(*), pg_sleep(300) FROM uploads"},
        options);
    ASSERT_TRUE(eventually([&] {
        return sites_.sydney.sql(
                   "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
                   "query LIKE '%pg_sleep(300)%' AND usename = 'report'") == "1";
    }));
    write("TRUNCATE uploads; INSERT INTO uploads VALUES (1, 'oid', 'after')");
    ASSERT_TRUE(eventually([&] {
        return sites_.sydney.sql("SELECT count(*) FROM uploads") == "1";
    })) << sites_.describe();
    // Status shows it as long as it lasts; the log keeps whom it ended.
    EXPECT_THAT(read_file(sites_.sydney.directory / "antipoded.log"),
                AllOf(HasSubstr("lock on public.uploads"), HasSubstr("report, report"),
                      HasSubstr("which was cancelled"), HasSubstr("which was disconnected")));
    ASSERT_TRUE(query.wait(10s).has_value());
    EXPECT_THAT(read_file(options.log), HasSubstr("canceling statement due to user request"));
    EXPECT_FALSE(is_alive(report));
    auto idle = reader("BEGIN; SELECT * FROM public.uploads");
    write("ALTER TABLE uploads ADD size int DEFAULT 7");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_FALSE(is_alive(idle));
    EXPECT_TRUE(is_alive(elsewhere));
    sites_.expect_equal();
}

TEST_F(ReadOnly, SkippingGetsAHaltedLaneGoingAndMendsTheTable) {
    write(
        "CREATE TABLE notes (id int PRIMARY KEY, upload int REFERENCES uploads ON DELETE CASCADE); "
        "INSERT INTO notes VALUES (1, 5), (2, 6)");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    meddle("DELETE FROM uploads WHERE id = 5");
    write(
        "INSERT INTO journal VALUES ('before'); UPDATE uploads SET note = 'x' WHERE id IN (5, 6)");
    write("INSERT INTO journal VALUES ('after')");
    const std::string command = "antipode database skip --lsn ";
    ASSERT_TRUE(eventually([&] {
        return of_database("next_step").find(command) != std::string::npos;
    })) << sites_.describe();
    EXPECT_THAT(of_database("reason"), HasSubstr("public.uploads, key (id = 5)"));
    EXPECT_EQ(sites_.sydney.sql("SELECT what FROM journal"), "before") << "nothing passes it";
    const std::string next_step = of_database("next_step");
    const std::string lsn = next_step.substr(next_step.find(command) + command.size());
    EXPECT_THAT(sites_.sydney.antipode({"database", "skip", "--lsn", "0/1", "--yes"}).error,
                HasSubstr("stands at " + lsn));
    EXPECT_THAT(sites_.sydney.antipode({"database", "skip", "--lsn", lsn}).error,
                HasSubstr("--yes"));
    EXPECT_EQ(sites_.sydney.antipode({"database", "skip", "--lsn", lsn, "--yes"}).status, 0);
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    EXPECT_EQ(sites_.sydney.sql("SELECT * FROM notes ORDER BY id"), "1|5\n2|6");
    const CommandResult record = sites_.sydney.antipode({"-o", "json", "database", "skipped"});
    EXPECT_THAT(record.output,
                AllOf(HasSubstr("\"lsn\":\"" + lsn + "\""), HasSubstr("\"repair\":\"done\""),
                      HasSubstr("update public.uploads (id = 5)"), HasSubstr("asked_by")));
    EXPECT_TRUE(eventually([&] {
        return of_database("skipped.transactions") == "1" && of_database("reason").empty();
    })) << sites_.describe();
}

}  // namespace
}  // namespace antipode::test
