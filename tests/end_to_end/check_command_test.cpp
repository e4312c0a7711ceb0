// A secondary's database compared with the primary's: on demand and by schedule, while both go on.
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int equal = 0;
constexpr int findings = 3;

/// What a program on the primary does until it is told to end, and must get done.
class Load {
  public:
    explicit Load(const TwoSites& sites) : url_(sites.london.postgres.url("app")) {}
    ~Load() { expect_done(); }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

    void expect_done() {
        thread_.request_stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

  private:
    void run(const std::stop_token& stop) const {
        while (!stop.stop_requested()) {
            const CommandResult result =
                antipode::test::run({PostgresServer::program("pgbench"), "-n", "-c", "4", "-T", "2",
                                     "-b", "tpcb-like", url_});
            EXPECT_THAT(result.output, HasSubstr("number of failed transactions: 0 "))
                << result.error;
        }
    }
    const std::string url_;
    std::jthread thread_{[this](const std::stop_token& stop) { run(stop); }};
};

class DatabaseCheckCommand : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        shared = std::make_unique<TwoSites>("", "check_every = \"never\"\n",
                                            TwoSites::Daemons::Unprivileged);
    }
    static void TearDownTestSuite() { shared.reset(); }
    void SetUp() override {
        sites_.london.sql(
            "SET ROLE app_owner; TRUNCATE uploads; INSERT INTO uploads "
            "SELECT i, 'oid', 'path', repeat('x', 100) FROM generate_series(1, 20000) i");
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    }

    void TearDown() override {
        EXPECT_TRUE(eventually([&] {
            return sites_.sydney.sql(
                       "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
                       "'antipode% check' AND xact_start IS NOT NULL") == "0";
        })) << "a check that is done holds no snapshot";
    }

    CommandResult check(std::vector<std::string> options = {}) const {
        options.insert(options.begin(), {"database", "check"});
        return sites_.sydney.antipode(options);
    }
    /// As a superuser on sydney, past everything that keeps others out.
    static std::string events_of(const Site& site) {
        return must_run({"curl", "-sSf", "http://127.0.0.1:" + site.http_port() + "/v1/events"});
    }
    void meddle(const std::string& sql) const {
        sites_.sydney.sql(
            "SET default_transaction_read_only = off; "
            "SET session_replication_role = replica; " +
            sql);
    }
    void start_bank() const {
        must_run({PostgresServer::program("pgbench"), "-i", "-q", "-s", "1",
                  sites_.london.postgres.url("app", "app_owner")});
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    }
    std::string of_check(const std::string& field) const {
        return sites_.sydney
            .status(".stores[] | select(.store == \"database/app\") | .check." + field)
            .value_or("null");
    }

    inline static std::unique_ptr<TwoSites> shared;
    TwoSites& sites_ = *shared;
};

TEST_F(DatabaseCheckCommand, WhatASuperuserChangedIsFoundNamedAndMendedWhileWritesGoOn) {
    start_bank();
    CommandResult result = check();
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("database/app: equal; compared 6 tables, "));
    meddle(
        "UPDATE uploads SET note = 'y' WHERE id = 777; DELETE FROM uploads WHERE id = 15000; "
        "INSERT INTO uploads VALUES (99999, 'oid', 'path')");

    Load load(sites_);
    result = check();
    EXPECT_EQ(result.status, findings) << result.output << result.error;
    EXPECT_THAT(
        result.output,
        AllOf(HasSubstr("public.uploads: differs\n  id < 10001: 1 row: changed (777)\n  id >= "
                        "10001: 2 rows: missing (15000), extra (99999)\n"),
              HasSubstr("1 differ, 0 mended"), HasSubstr("Try: antipode database check --mend\n")));
    EXPECT_TRUE(eventually([&] { return of_check("differing") == "1"; })) << sites_.describe();
    EXPECT_EQ(of_check("first_differing"), "public.uploads");
    EXPECT_THAT(sites_.sydney.antipode({"status"}).output,
                AllOf(HasSubstr("public.uploads differs from the primary's"),
                      HasSubstr("antipode database check --mend")));
    // The primary says so, too.
    EXPECT_TRUE(eventually([&] {
        const std::string seen = sites_.london.antipode({"status"}).output;
        return seen.find("sydney: database/app: public.uploads differs from the primary's") !=
                   std::string::npos &&
               seen.find("degraded") != std::string::npos;
    })) << sites_.london.antipode({"status"}).output;

    result = check({"--mend", "--table", "public.uploads"});
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output,
                HasSubstr("public.uploads: differed, is mended and equal now\ndatabase/app: equal; "
                          "compared 1 table, "));
    result = check({"app"});
    EXPECT_THAT(result.output, Not(HasSubstr(" differs\n")));
    load.expect_done();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    result = sites_.sydney.antipode({"-o", "json", "database", "check"});
    EXPECT_THAT(result.output, AllOf(HasSubstr("\"schema\":\"antipode.database-check/1\""),
                                     HasSubstr("\"verdict\":\"equal\"")));
    EXPECT_TRUE(eventually([&] { return of_check("differing") == "0"; })) << sites_.describe();
}

TEST_F(DatabaseCheckCommand, NoFalseAlarmUnderLoad) {
    start_bank();
    Load load(sites_);
    for (int checks = 0; checks < 4; ++checks) {
        const CommandResult result = check();
        EXPECT_NE(result.status, findings) << result.output;
        EXPECT_THAT(result.output, HasSubstr(" 0 differ, "));
    }
    load.expect_done();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_EQ(check().status, equal);
}

TEST_F(DatabaseCheckCommand, TheStructureIsComparedWhileItChanges) {
    meddle("ALTER TABLE journal ADD secret int; CREATE INDEX mine ON uploads (note)");
    CommandResult result = check();
    EXPECT_EQ(result.status, findings) << result.error;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("structure: differs\n"), HasSubstr("  extra index public.mine\n"),
                      HasSubstr("  changed table public.journal\n    here:    secret "
                                "integer\n")));
    EXPECT_TRUE(eventually([&] { return of_check("first_differing") == "structure"; }));
    EXPECT_THAT(sites_.sydney.antipode({"status"}).output,
                AllOf(HasSubstr("the structure differs from the primary's"),
                      HasSubstr("Try: antipode database check --mend")));
    // The primary knows, too, and both have an event of it.
    EXPECT_TRUE(eventually([&] {
        return sites_.london.status(
                   ".sites[] | select(.site == \"sydney\") | .checks[] | select(.store == "
                   "\"database/app\") | .what") == "the structure differs from the primary's";
    })) << sites_.describe();
    EXPECT_THAT(sites_.london.antipode({"status"}).output,
                HasSubstr("sydney: database/app: the structure differs from the primary's"));
    EXPECT_THAT(events_of(sites_.sydney), HasSubstr("\"text\":\"everything was compared for "));
    EXPECT_TRUE(eventually([&] {
        return events_of(sites_.london).find("\"text\":\"sydney: the structure differs") !=
               std::string::npos;
    }));
    result = check({"--mend"});
    EXPECT_EQ(result.status, findings) << result.output << result.error;
    EXPECT_THAT(
        result.output,
        AllOf(HasSubstr("  mended index public.mine\n"),
              HasSubstr("    not mended: the column secret is only here, and what it holds "
                        "would be lost\n    by hand: ALTER TABLE public.journal DROP COLUMN "
                        "secret\n"),
              HasSubstr("Try: antipode database check --mend --drop-extra")));
    meddle("ALTER TABLE uploads DROP note; CREATE TABLE later (id int PRIMARY KEY)");
    result = check({"--mend", "--drop-extra"});
    EXPECT_EQ(result.status, 2) << "nobody typed the site's name";
    EXPECT_THAT(result.error,
                AllOf(HasSubstr("changed table public.journal\n    here:    secret integer\n"),
                      HasSubstr("--confirm sydney")));
    result = check({"--mend", "--drop-extra", "--confirm", "sydney"});
    EXPECT_EQ(result.status, findings) << result.output << result.error;
    EXPECT_THAT(result.output,
                AllOf(HasSubstr("  mended table public.journal\n"),
                      HasSubstr("  extra table public.later\n"), HasSubstr("--drop-extra")))
        << "it was not listed when the name was typed";
    result = check({"--mend", "--drop-extra", "--confirm", "sydney"});
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("structure: differed, is mended and equal now\n"));
    sites_.expect_equal();
    write_file(sites_.temporary.path() / "ddl.sql",
               "SET ROLE app_owner; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t "
               "(v) VALUES ('x'); CREATE INDEX ON t (v); ALTER TABLE t ADD w int DEFAULT 5; CREATE "
               "VIEW v AS SELECT * FROM t; COMMENT ON VIEW v IS 'all'; GRANT SELECT ON t TO "
               "report; DROP TABLE t CASCADE; SELECT pg_sleep(0.3);\n");
    Process::Options options;
    options.log = sites_.temporary.path() / "ddl.log";
    Process load(
        {PostgresServer::program("pgbench"), "-n", "-c", "1", "-T", "20", "-f",
         (sites_.temporary.path() / "ddl.sql").string(), sites_.london.postgres.url("app")},
        options);
    while (load.running()) {
        result = check();
        EXPECT_NE(result.status, findings) << result.output;
    }
    EXPECT_THAT(read_file(options.log), HasSubstr("number of failed transactions: 0 "));
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    result = check();
    EXPECT_EQ(result.status, equal) << result.output;
}

TEST_F(DatabaseCheckCommand, ManyOfSingleTablesDoNotHideWhenEverythingWasCompared) {
    const auto ended = [&](const std::string& tables) {
        return sites_.sydney.sql(
            "SELECT count(*) FROM antipode.check_run WHERE ended_at IS NOT NULL AND tables = '" +
            tables + "'");
    };
    EXPECT_EQ(check().status, equal);
    meddle(
        "INSERT INTO antipode.check_run (store, asked_by, mend, schemas, tables, begun_at, "
        "ended_at) SELECT 'database/app', 'many', false, '{public}', '{uploads}', now(), now() "
        "FROM generate_series(1, 60)");
    EXPECT_EQ(check({"--table", "public.uploads"}).status, equal);
    EXPECT_EQ(ended("{uploads}"), "50") << "old ones are forgotten";
    EXPECT_EQ(ended("{}"), "1") << "but not when everything was compared last";
    EXPECT_TRUE(eventually([&] { return of_check("running") == "null"; }));
    EXPECT_NE(of_check("finished_us"), "null");
}

TEST_F(DatabaseCheckCommand, LargeObjectsAreCopiedReplacedAndRemoved) {
    const auto contents = [](const Site& site) {
        return site.sql(
            "SELECT oid, pg_get_userbyid(lomowner), length(lo_get(oid)), "
            "md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid");
    };
    sites_.london.sql(
        "SET ROLE app_owner; SELECT lo_from_bytea(100001, 'small'), "
        "lo_from_bytea(100002, ''), lo_create(100003), "
        "lo_put(100003, 50000000, '\\x0001ff'), lo_from_bytea(100004, "
        "decode(repeat('00ff17', 1500001), 'hex'))");
    EXPECT_THAT(sites_.london.antipode({"doctor"}).output, HasSubstr("has large objects"));
    EXPECT_NE(contents(sites_.london), contents(sites_.sydney));
    EXPECT_EQ(check({"--timeout", "60"}).status, equal);
    EXPECT_EQ(contents(sites_.london), contents(sites_.sydney));
    EXPECT_THAT(contents(sites_.sydney), HasSubstr("100004|app_owner|4500003|"));
    sites_.london.sql("SELECT lo_put(100004, 1234567, 'changed'), lo_unlink(100001)");
    meddle("SET ROLE app_owner; SELECT lo_from_bytea(100009, 'extra'), lo_put(100002, 0, 'hand')");
    EXPECT_EQ(check({"--timeout", "60"}).status, equal);
    EXPECT_EQ(contents(sites_.london), contents(sites_.sydney));
    meddle("SELECT lo_create(100010)");
    const CommandResult refused = check({"--timeout", "60"});
    EXPECT_EQ(refused.status, findings) << "the daemon may not act as a superuser";
    EXPECT_THAT(refused.output, HasSubstr("large objects: differs: large object 100010: "));
    meddle("SELECT lo_unlink(100010)");

    // An object that ends with an empty page, and a new owner.
    for (const Site* site : {&sites_.london, &sites_.sydney}) {
        site->sql(std::string("SET default_transaction_read_only = off; ") +
                  "CREATE ROLE second; GRANT second TO antipode");
    }
    sites_.london.sql(
        "SELECT lo_truncate64(lo_open(100003, x'20000'::int), 60000256); "
        "ALTER LARGE OBJECT 100004 OWNER TO second");
    EXPECT_EQ(check({"--timeout", "60"}).status, equal);
    EXPECT_EQ(contents(sites_.london), contents(sites_.sydney));
    EXPECT_THAT(contents(sites_.sydney), HasSubstr("100004|second|4500003|"));
    EXPECT_THAT(contents(sites_.sydney), HasSubstr("100003|app_owner|60000256|"));
    EXPECT_EQ(check({"--timeout", "60"}).status, equal);
    EXPECT_EQ(sites_.sydney.sql("SELECT detail->>'copied' FROM antipode.check_result WHERE part = "
                                "'large objects'"),
              "0");
}

TEST_F(DatabaseCheckCommand, WhatIsAskedForCanBeTakenBackAndIsMeantForOnePrimary) {
    EXPECT_THAT(check({"--cancel"}).output, HasSubstr("there is nothing to take back"));
    sites_.sydney.kill();
    EXPECT_EQ(check({"--no-wait"}).status, 5);
    EXPECT_EQ(check({"--mend", "--no-wait"}).status, 5);
    CommandResult result = check({"--cancel"});
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_THAT(result.output, HasSubstr("database/app: 2 requests taken back\n"));
    EXPECT_EQ(check({"--mend", "--no-wait"}).status, 5);
    EXPECT_EQ(sites_.sydney.sql("SELECT epoch FROM antipode.check_run WHERE ended_at IS NULL"),
              "1");
    meddle("UPDATE antipode.check_run SET epoch = 9 WHERE ended_at IS NULL");
    sites_.sydney.start();
    const std::string last = "SELECT problem FROM antipode.check_run ORDER BY id DESC LIMIT 1";
    EXPECT_TRUE(eventually([&] {
        return sites_.sydney.sql(last) == "it was asked for when another site was the primary";
    })) << sites_.sydney.sql(last);

    // Who waits is told.
    postgres::Connection client(sites_.sydney.postgres.url("app"), "in the way");
    client.execute("locking", "BEGIN; LOCK TABLE public.journal");
    auto waiting = std::async(std::launch::async, [&] { return check(); });
    ASSERT_TRUE(eventually([&] {
        return sites_.sydney.sql(
                   "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
                   "'journal'::regclass") == "1";
    })) << sites_.describe();
    EXPECT_EQ(check({"--cancel"}).status, 0);
    result = waiting.get();
    EXPECT_EQ(result.status, 1) << result.output;
    EXPECT_THAT(result.error, HasSubstr("the check was given up: it was taken back by "));
    client.execute("unlocking", "ROLLBACK");
    EXPECT_EQ(check().status, equal);
}

TEST_F(DatabaseCheckCommand, IsFinishedByTheDaemonThatStartsAfterOneWasKilled) {
    meddle("UPDATE uploads SET note = 'z' WHERE id = 5");
    {
        postgres::Connection client(sites_.sydney.postgres.url("app"), "in the way");
        client.execute("locking", "BEGIN; LOCK TABLE public.journal");
        EXPECT_EQ(check({"--no-wait"}).status, 0);
        EXPECT_EQ(check({"--no-wait", "--table", "public.journal"}).status, 0) << "two at once";
        ASSERT_TRUE(eventually([&] {
            return sites_.sydney.sql(
                       "SELECT count(*) FROM antipode.check_run WHERE begun_at IS "
                       "NOT NULL AND ended_at IS NULL") == "1" &&
                   sites_.sydney.sql(
                       "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation "
                       "= 'journal'::regclass") == "1";
        })) << sites_.describe();
        sites_.sydney.kill();
    }
    const CommandResult down = check({"--mend"});
    EXPECT_EQ(down.status, 5) << down.output;
    EXPECT_THAT(down.error, AllOf(HasSubstr("the check is asked for and is done when antipoded "
                                            "runs"),
                                  HasSubstr("Try: systemctl start antipoded")));
    sites_.sydney.start();
    const std::string open = "SELECT count(*) FROM antipode.check_run WHERE ended_at IS NULL";
    EXPECT_TRUE(eventually([&] { return sites_.sydney.sql(open) == "0"; }, 60s))
        << sites_.describe();
    EXPECT_EQ(sites_.sydney.sql("SELECT note = repeat('x', 100) FROM uploads WHERE id = 5"), "t")
        << "the last one mends";
    EXPECT_EQ(sites_.sydney.sql("SELECT count(*) FROM antipode.check_result WHERE verdict <> "
                                "'equal'"),
              "0");
}

TEST_F(DatabaseCheckCommand, WaitsForAPrimaryThatIsAwayAndSaysSo) {
    sites_.london.kill();
    const CommandResult away = check({"--timeout", "6"});
    EXPECT_EQ(away.status, 8) << away.output << away.error;
    EXPECT_THAT(away.error,
                HasSubstr("the check is not done yet and goes on: it is tried again: "));
    sites_.london.start();
    EXPECT_TRUE(eventually(
        [&] {
            return sites_.sydney.sql(
                       "SELECT count(*) FROM antipode.check_run WHERE ended_at IS "
                       "NULL") == "0";
        },
        60s))
        << sites_.describe();
    const CommandResult there = sites_.london.antipode({"database", "check"});
    EXPECT_EQ(there.status, 2) << there.output;
    EXPECT_THAT(there.error, HasSubstr("this site is the primary"));
}

TEST(ScheduledDatabaseCheck, ComesByItselfIsKeptOverARestartAndTellsWhatDiffers) {
    TwoSites sites("", "check_every = \"2s\"\n");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const std::string of_store = ".stores[] | select(.store == \"database/app\") | .check.";
    ASSERT_TRUE(
        eventually([&] { return sites.sydney.status(of_store + "finished_us").has_value(); }, 60s))
        << sites.describe();
    sites.sydney.sql("INSERT INTO uploads VALUES (1, 'oid', 'path')");
    ASSERT_TRUE(eventually(
        [&] { return sites.sydney.status(of_store + "differing").value_or("") == "1"; }, 60s))
        << sites.describe();
    const auto since = sites.sydney.status(of_store + "differs_since_us");
    ASSERT_TRUE(since);
    const CommandResult metrics =
        run({"curl", "-fsS", "http://127.0.0.1:" + sites.sydney.http_port() + "/metrics"});
    EXPECT_THAT(metrics.output,
                AllOf(HasSubstr("antipode_store_check_differing{store=\"database/app\"} 1\n"),
                      HasSubstr("antipode_store_check_timestamp_seconds{store=\"database/app\"} "),
                      HasSubstr("antipode_store_check_rows{store=\"database/app\"} ")));
    sites.sydney.kill();
    sites.sydney.start();
    ASSERT_TRUE(eventually(
        [&] { return sites.sydney.status(of_store + "differing").value_or("") == "1"; }, 30s))
        << sites.describe();
    EXPECT_EQ(sites.sydney.status(of_store + "differs_since_us"), since);
    sites.sydney.sql("DELETE FROM uploads");
    EXPECT_TRUE(eventually(
        [&] { return sites.sydney.status(of_store + "differing").value_or("") == "0"; }, 60s))
        << sites.describe();
}

}  // namespace
}  // namespace antipode::test
