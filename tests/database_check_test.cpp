// Rows compared chunk by chunk at barriers in the stream, while both sides go on.
#include <algorithm>
#include <fstream>
#include <iostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "secondary/database/check.hpp"
#include "secondary/database/mend.hpp"
#include "tests/support/database_meanwhile.hpp"

namespace antipode::test {
namespace {

using secondary::CheckReport;
using secondary::RowDifference;
using testing::HasSubstr;
using namespace std::chrono_literals;

class DatabaseChecks : public DatabaseMeanwhile {
  protected:
    /// Everything that was found, as one text.
    static std::string describe(const CheckReport& report) {
        std::string text;
        for (const auto& difference : report.differences) {
            text += difference.table.to_string() + " where " + difference.range +
                    difference.problem + ":";
            for (const RowDifference& row : difference.rows) {
                text += row.kind == RowDifference::Kind::Missing ? " missing "
                        : row.kind == RowDifference::Kind::Extra ? " extra "
                                                                 : " changed ";
                text += row.key;
            }
            text += "\n";
        }
        for (const auto& [table, chunks] : report.undecided) {
            text += table.to_string() + " undecided: " + std::to_string(chunks.size()) + "\n";
        }
        return text;
    }

    CheckReport check(const std::set<TableName>& tables = {}, unsigned rounds = 10) {
        return meanwhile([&, tables, rounds] {
            checking_.emplace(secondary::DatabaseCheck::Options{.store = store, .rounds = rounds},
                              bulk_, secondary_->reader, secondary_->barriers);
            return checking_->run(tables, stop_.get_token());
        });
    }
    /// `copied` counts the chunks whose rows were asked for.
    secondary::MendReport mend(const CheckReport& found, size_t* copied = nullptr) {
        return meanwhile([&, copied] {
            bulk_.asked.clear();
            secondary::DatabaseMend mending({.store = store}, bulk_, secondary_->barriers);
            const auto report = mending.run(found, stop_.get_token());
            for (const BulkRequest& request : bulk_.asked) {
                if (copied != nullptr && request.path.ends_with("/copy")) {
                    const std::string& chunks = request.query.at("chunks");
                    *copied +=
                        1 + static_cast<size_t>(std::count(chunks.begin(), chunks.end(), ','));
                }
            }
            return report;
        });
    }

    /// Snapshots that checks hold on the primary.
    std::string held_snapshots() const {
        return a_.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'antipode check app' "
            "AND xact_start IS NOT NULL",
            "app");
    }
    bool no_snapshot_is_held() const {
        return eventually([&] { return held_snapshots() == "0"; });  // a backend takes its time
    }
    /// Of checks for locks.
    static std::string waiting(const PostgresServer& server) {
        return server.psql(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted "
            "AND application_name LIKE 'antipode check app%'",
            "app");
    }
    /// As a bad disk does it.
    static void damage(PostgresServer& server, const std::filesystem::path& directory,
                       const std::string& table) {
        const std::filesystem::path file =
            directory / "data" / server.psql("SELECT pg_relation_filepath('" + table + "')", "app");
        server.psql("CHECKPOINT");
        server.kill();
        std::fstream page(file, std::ios::in | std::ios::out | std::ios::binary);
        page << std::string(24, '\xff');
        ASSERT_TRUE(page.flush()) << file;
        server.start();
    }

    DirectBulk bulk_{primary_->bulk};
    std::optional<secondary::DatabaseCheck> checking_;  ///< keeps the last check open
};

constexpr const char* tables_of_every_kind = R"(
    CREATE TABLE numbered (id bigint PRIMARY KEY, v text, f float8, t timestamptz);
    CREATE TABLE named (name text PRIMARY KEY, v int);
    CREATE TABLE pairs (a int, b text, v int, PRIMARY KEY (a, b));
    CREATE TABLE keyless (a int, b text, c char(4), f boolean);
    CREATE TABLE chosen (u uuid NOT NULL, v text);
    CREATE UNIQUE INDEX chosen_u ON chosen (u);
    ALTER TABLE chosen REPLICA IDENTITY USING INDEX chosen_u;
    CREATE TABLE "Odd ""Täble" (
        "Id %" int PRIMARY KEY, g int GENERATED ALWAYS AS ("Id %" * 2) STORED);
    CREATE TABLE no_columns ();
    CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY HASH (id);
    CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO numbered SELECT i, 'v' || i, i / 7.0, now() FROM generate_series(1, 1000) i;
    INSERT INTO named SELECT 'name ' || i, i FROM generate_series(1, 1000) i;
    INSERT INTO pairs SELECT i % 50, 'b' || i, i FROM generate_series(1, 1000) i;
    INSERT INTO keyless SELECT i % 300, 'b' || i % 300, 'c', i % 2 = 0
        FROM generate_series(1, 600) i;
    INSERT INTO chosen SELECT md5(i::text)::uuid, 'v' FROM generate_series(1, 1000) i;
    INSERT INTO "Odd ""Täble" SELECT i FROM generate_series(1, 500) i;
    INSERT INTO no_columns DEFAULT VALUES;
    INSERT INTO parts SELECT i, i FROM generate_series(1, 1000) i;
    ANALYZE;
)";

TEST_F(DatabaseChecks, EqualTablesAreEqualAndEveryKindOfDifferenceIsNamed) {
    on_a(
        "ALTER DATABASE app SET DateStyle = 'German'; ALTER DATABASE app SET extra_float_digits = "
        "-5; ALTER DATABASE app SET TimeZone = 'Asia/Kolkata'");
    on_a(tables_of_every_kind);
    start_capture();
    copy();
    catch_up();
    CheckReport report = check();
    EXPECT_EQ(describe(report), "");
    EXPECT_TRUE(report.equal());
    EXPECT_EQ(report.tables, 9U);
    EXPECT_EQ(report.rows, 6101U);
    EXPECT_GT(report.chunks, 40U);
    EXPECT_EQ(on_a("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'antipode check "
                   "app' AND state = 'idle in transaction'"),
              "0")
        << "a snapshot is held";

    on_b(R"(UPDATE numbered SET v = 'corrupt' WHERE id = 555; DELETE FROM numbered WHERE id = 5;
        INSERT INTO numbered VALUES (2000, 'extra', NULL, NULL);
        UPDATE named SET v = -1 WHERE name = 'name 7';
        DELETE FROM pairs WHERE a = 3 AND b = 'b53';
        UPDATE keyless SET b = NULL WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 9);
        UPDATE chosen SET v = NULL WHERE u = md5('77')::uuid;
        DELETE FROM "Odd ""Täble" WHERE "Id %" = 400;
        INSERT INTO no_columns DEFAULT VALUES; UPDATE parts SET v = v + 1 WHERE id = 1000)");
    report = check();
    const std::string found = describe(report);
    EXPECT_TRUE(report.undecided.empty()) << found;
    EXPECT_THAT(found, HasSubstr("public.numbered where id >= 501 and id < 601: changed (555)\n"));
    EXPECT_THAT(found, HasSubstr("public.numbered where id < 101: missing (5)\n"));
    EXPECT_THAT(found, HasSubstr("public.numbered where id >= 901: extra (2000)\n"));
    EXPECT_THAT(found, HasSubstr("by hash of (name): changed (\"name 7\")\n"));
    EXPECT_THAT(found, HasSubstr("by hash of (a, b): missing (3,b53)\n"));
    EXPECT_THAT(found, HasSubstr("by hash of (the whole row): "));
    EXPECT_THAT(found, HasSubstr(" (9,b9,\"c   \","));
    EXPECT_THAT(found, HasSubstr("extra (9,,\"c   \","));
    EXPECT_THAT(found, HasSubstr("public.chosen where u "));
    EXPECT_THAT(found, HasSubstr(": changed (" + on_a("SELECT md5('77')::uuid") + ")\n"));
    EXPECT_THAT(found, HasSubstr("public.Odd \"Täble where Id % >= 301 and Id % < 401: missing "
                                 "(400)\n"));
    EXPECT_THAT(found, HasSubstr("public.no_columns where the whole table: changed ()\n"));
    EXPECT_THAT(found, HasSubstr("public.parts_"));

    size_t copied = 0;
    const auto mended = mend(report, &copied);
    EXPECT_TRUE(mended.unmended.empty());
    EXPECT_EQ(copied, report.differences.size());
    EXPECT_EQ(mended.chunks, report.differences.size());
    EXPECT_LT(mended.chunks * 3, report.chunks) << "only what differs";
    EXPECT_EQ(mended.rows.removed, 9U) << "rows that differ, and equal ones of a table without key";
    EXPECT_EQ(mended.rows.added, 10U);
    on_a("ALTER DATABASE app RESET ALL");
    expect_equal();
    EXPECT_TRUE(check().equal());
}

TEST_F(DatabaseChecks, MendingFiresNoTriggersAndLeavesApplyGoingOn) {
    on_a(R"(CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, u int UNIQUE,
            parent bigint REFERENCES t, twice int GENERATED ALWAYS AS (u * 2) STORED);
        CREATE TABLE log (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END';
        INSERT INTO t (u, parent) SELECT i, 1 FROM generate_series(1, 900) i;
        CREATE TRIGGER noted AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
        ALTER TABLE t ENABLE ALWAYS TRIGGER noted)");
    start_capture();
    copy();
    on_a("INSERT INTO log VALUES ('the copy is passed')");
    catch_up();
    // Two chunks have exchanged a unique value.
    on_b(R"(SET session_replication_role = replica; ALTER TABLE t DISABLE TRIGGER noted;
        UPDATE t SET u = -1 WHERE id = 5; UPDATE t SET u = 5 WHERE id = 888;
        UPDATE t SET u = 888 WHERE id = 5; DELETE FROM t WHERE id = 1;
        ALTER TABLE t ENABLE ALWAYS TRIGGER noted)");
    const auto found = check();
    EXPECT_EQ(found.differences.size(), 2U) << describe(found);
    EXPECT_TRUE(mend(found).unmended.empty());
    on_a("INSERT INTO t (u, parent) VALUES (1000, 1); UPDATE t SET u = -5 WHERE id = 5");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT tgenabled FROM pg_trigger WHERE tgname = 'noted'"), "A");
    EXPECT_EQ(on_b("SELECT nextval('t_id_seq')"), on_a("SELECT nextval('t_id_seq')"));
}

TEST_F(DatabaseChecks, AMendThatFailsLeavesApplyWhereItWas) {
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT i, i "
        "FROM generate_series(1, 500) i; ANALYZE");
    start_capture();
    copy();
    catch_up();
    on_b(
        "UPDATE t SET v = 0 WHERE id = 450; ALTER TABLE t ADD CONSTRAINT low CHECK (v < 400) "
        "NOT VALID");
    const auto found = check();
    ASSERT_EQ(found.differences.size(), 1U) << describe(found);
    const std::string problem = error_of([&] { mend(found); }, Reaction::Retry);
    EXPECT_THAT(problem, HasSubstr("low"));
    secondary_->barriers.forget();
    on_b("ALTER TABLE t DROP CONSTRAINT low");
    on_a("INSERT INTO t VALUES (1000, 1)");
    given_ = {};
    catch_up();
    const auto again = check();
    EXPECT_TRUE(mend(again).unmended.empty());
    expect_equal();
}

TEST_F(DatabaseChecks, TablesAndColumnsThatAreNotHereAreNamed) {
    on_a(
        "CREATE TABLE gone (id int PRIMARY KEY); CREATE TABLE narrow (id int PRIMARY KEY, v int); "
        "CREATE TABLE fine (id int PRIMARY KEY)");
    start_capture();
    copy();
    on_b("DROP TABLE gone; ALTER TABLE narrow DROP COLUMN v");
    EXPECT_EQ(describe(check()),
              "public.gone where the whole tablethere is no such table on this site:\n"
              "public.narrow where the whole tablethe column \"v\" is not in the table on this "
              "site:\n");
    EXPECT_TRUE(check({{"public", "fine"}}).equal());
}

TEST_F(DatabaseChecks, ADamagedTableIsNamedAndHoldsUpNoOther) {
    on_a(tables_of_every_kind);
    start_capture();
    copy();
    catch_up();
    on_b("UPDATE pairs SET v = -1 WHERE a = 3 AND b = 'b53'");
    damage(b_, directory_ / "b", "named");
    damage(a_, directory_ / "a", "numbered");
    restart_primary();
    restart_secondary();
    start_capture();
    DirectBulk bulk(primary_->bulk);
    const CheckReport report = meanwhile([&] {
        secondary::DatabaseCheck checking({.store = store, .rounds = 2}, bulk, secondary_->reader,
                                          secondary_->barriers);
        return checking.run({}, stop_.get_token());
    });
    const std::string found = describe(report);
    EXPECT_THAT(found, HasSubstr("by hash of (a, b): changed (3,b53)\n"));
    EXPECT_THAT(found, HasSubstr("public.named undecided: 0\npublic.numbered undecided: 0\n"));
    EXPECT_EQ(report.tables, 9U);
    EXPECT_EQ(report.compared.size(), 7U);
    EXPECT_THAT(report.unreadable.at({"public", "named"}),
                testing::StartsWith("computing digests of public.named: invalid page in block 0"));
    EXPECT_THAT(report.unreadable.at({"public", "numbered"}),
                testing::ContainsRegex("^on the primary: .* public.numbered: invalid page in "));
    EXPECT_TRUE(no_snapshot_is_held());
}

TEST_F(DatabaseChecks, AStopEndsWhatIsReadOnThisSite) {
    on_a(tables_of_every_kind);
    start_capture();
    copy();
    catch_up();
    postgres::Connection client(b_.url("app"), "in the way");
    client.execute("locking", "BEGIN; LOCK TABLE public.named");
    const auto stopping = std::async(std::launch::async, [&] {
        EXPECT_TRUE(eventually([&] { return waiting(b_) == "1"; }));
        stop_.request_stop();
    });
    EXPECT_THROW(check(), Stopped);
    EXPECT_EQ(waiting(b_), "0");
    EXPECT_EQ(std::count(bulk_.requests.begin(), bulk_.requests.end(), "database/app/check/open"),
              1)
        << "in the first round, not when the lock's time was over";
    checking_.reset();
    EXPECT_TRUE(no_snapshot_is_held());
}

TEST_F(DatabaseChecks, WhatNobodyWaitsForAnyMoreIsNotReadOnThePrimary) {
    on_a("CREATE TABLE named (id int PRIMARY KEY)");
    start_capture();
    secondary::PrimaryCheck check(store, bulk_, {});
    check.open();
    postgres::Connection client(a_.url("app"), "in the way");
    client.execute("locking", "BEGIN; LOCK TABLE public.named");
    auto body =
        primary_->bulk.open({"database/app/check/digests",
                             {{"id", check.id()}, {"schema", "public"}, {"table", "named"}}});
    ASSERT_TRUE(body);
    ASSERT_TRUE(eventually([&] { return waiting(a_) == "1"; }));
    const std::string began = on_a("SELECT clock_timestamp()");
    body.reset();
    EXPECT_EQ(waiting(a_), "0");
    EXPECT_EQ(on_a("SELECT clock_timestamp() - '" + began + "' < '8 s'"), "t")
        << "the lock's time of 10 s was not over";
}

TEST_F(DatabaseChecks, NoneIsGivenUpForAnotherOneWhileItIsUsed) {
    start_capture();
    ManualClock clock;
    primary::CheckBulk bulk(primary_->checks, clock);
    const auto ask = [&](const std::string& what, const std::string& id) {
        return bulk.open(what, {"", {{"id", id}}}) != nullptr;
    };
    for (const char* id : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
        EXPECT_TRUE(ask("open", id));
        clock.advance(20s);
    }
    EXPECT_THAT(error_of([&] { ask("open", "9"); }, Reaction::Retry),
                HasSubstr("8 checks of this database are open"));
    EXPECT_EQ(held_snapshots(), "8");
    EXPECT_TRUE(ask("keep", "1"));
    clock.advance(3min);
    EXPECT_TRUE(ask("open", "9")) << "the second one was not used for five minutes";
    EXPECT_FALSE(ask("keep", "2"));
    EXPECT_TRUE(ask("keep", "1"));
    EXPECT_TRUE(ask("close", "1"));
    EXPECT_FALSE(ask("keep", "1"));
}

TEST_F(DatabaseChecks, ACheckIsKeptAndClosedHoweverItEnds) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    const BulkRequest keep{"database/app/check/keep", {{"id", "abc"}}};
    EXPECT_FALSE(primary_->bulk.open(keep)) << "nobody knows it";
    ASSERT_TRUE(primary_->bulk.open({"database/app/check/open", {{"id", "abc"}}}));
    EXPECT_TRUE(primary_->bulk.open(keep));
    EXPECT_EQ(held_snapshots(), "1");
    on_a("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in%'");
    EXPECT_THAT(error_of([&] { primary_->bulk.open(keep); }, Reaction::Retry),
                HasSubstr("checking: "));
    primary_->bulk.open({"database/app/check/close", {{"id", "abc"}}});

    copy();
    bulk_.before = [](const BulkRequest& request) {
        if (request.path.ends_with("/digests")) {
            throw Error(Reaction::Retry, "the connection was cut");
        }
    };
    EXPECT_EQ(error_of([&] { check(); }, Reaction::Retry), "the connection was cut");
    checking_.reset();
    EXPECT_TRUE(no_snapshot_is_held());
    EXPECT_EQ(bulk_.requests.back(), "database/app/check/close");
}

/// What an application does all the time: key updates, deletes, tables without a key, one hot row.
/// The even ids are left alone.
constexpr const char* load_script = R"(
\set odd random(0, 499) * 2 + 1
\set other random(0, 499) * 2 + 1
\set half random(0, 49) * 2 + 1
UPDATE numbered SET v = md5(random()::text), f = random(), t = now() WHERE id = :odd;
UPDATE named SET name = 'name ' || :odd || ' ' || random(), v = v + 2 WHERE v % 1000 = :odd;
UPDATE keyless SET b = md5(random()::text) WHERE a = :half;
BEGIN;
DELETE FROM pairs WHERE a = :half AND v = (SELECT min(v) FROM pairs WHERE a = :half);
INSERT INTO pairs VALUES (:half, md5(random()::text), 1 + random() * 1000);
END;
DELETE FROM keyless WHERE ctid = (SELECT ctid FROM keyless WHERE a = :half LIMIT 1);
INSERT INTO keyless VALUES (:half, 'new', NULL, true), (:half, 'new', NULL, true);
BEGIN;
INSERT INTO numbered VALUES (:odd + 10000, 'new') ON CONFLICT (id)
    DO UPDATE SET v = md5(random()::text);
DELETE FROM numbered WHERE id = :other + 10000;
END;
UPDATE parts SET id = id WHERE id = :odd;
UPDATE parts SET v = v + 1 WHERE id = :odd;
)";

TEST_F(DatabaseChecks, UnderFullLoadNothingIsFoundButWhatIsWrong) {
    a_.stop();
    a_.set("fsync", "on");
    a_.start();
    on_a(tables_of_every_kind);
    must_run({PostgresServer::program("pgbench"), "-i", "-q", "-s", "1", a_.url("app")});
    start_capture();
    copy();
    catch_up();
    on_b(R"(UPDATE numbered SET v = 'corrupt' WHERE id = 556; DELETE FROM numbered WHERE id = 6;
        INSERT INTO numbered VALUES (20000, 'extra', NULL, NULL);
        UPDATE named SET v = -1 WHERE name = 'name 8';
        DELETE FROM pairs WHERE a = 4 AND b = 'b54';
        UPDATE keyless SET b = 'x' WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 100);
        UPDATE parts SET v = -1 WHERE id = 500;
        UPDATE chosen SET v = NULL WHERE u = md5('77')::uuid)");
    const std::set<std::string> wrong = {
        "public.numbered changed (556)",
        "public.numbered missing (6)",
        "public.numbered extra (20000)",
        "public.named changed (\"name 8\")",
        "public.pairs missing (4,b54)",
        "public.keyless changed (100,b100,\"c   \",t)",
        "public.keyless extra (100,x,\"c   \",t)",
        "public." + on_a("SELECT tableoid::regclass FROM parts WHERE id = 500") + " changed (500)",
        "public.chosen changed (" + on_a("SELECT md5('77')::uuid") + ")"};

    const auto script = directory_ / "load.sql";
    write_file(script, load_script);
    const auto run_load = [&](const std::vector<std::string>& options) {
        std::vector<std::string> command = {
            PostgresServer::program("pgbench"), "-n", "-c", "4", "-T", "40", "--max-tries=100"};
        command.insert(command.end(), options.begin(), options.end());
        command.push_back(a_.url("app"));
        Process::Options logged;
        logged.log = directory_ / "pgbench.log";
        return Process(command, logged);
    };
    Process own = run_load({"-f", script.string()});
    Process bank = run_load({"-b", "tpcb-like"});
    unsigned checks = 0;
    uint64_t chunks = 0;
    unsigned rounds = 0;
    uint64_t undecided_chunks = 0;
    std::map<std::string, unsigned> undecided;
    while (own.running() && bank.running()) {
        const CheckReport report = check({}, 6);
        ++checks;
        chunks += report.chunks;
        rounds += report.rounds;
        std::set<std::string> found;
        for (const auto& difference : report.differences) {
            for (const RowDifference& row : difference.rows) {
                found.insert(difference.table.to_string() +
                             (row.kind == RowDifference::Kind::Missing ? " missing "
                              : row.kind == RowDifference::Kind::Extra ? " extra "
                                                                       : " changed ") +
                             row.key);
            }
        }
        EXPECT_EQ(found, wrong) << describe(report);
        for (const auto& [table, busy] : report.undecided) {
            ++undecided[table.table];
            undecided_chunks += busy.size();
        }
    }
    std::string busy;
    for (const auto& [table, times] : undecided) {
        busy += " " + table + " " + std::to_string(times);
    }
    std::cout << checks << " checks, " << rounds << " rounds, " << chunks
              << " chunks; undecided:" << busy << "; "
              << on_a("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = 'app'")
              << " transactions\n";
    EXPECT_GE(checks, 3U);
    // Rows that are being committed at each barrier, as the one row of pgbench_branches is.
    EXPECT_LT(undecided_chunks * 20, chunks);
    EXPECT_FALSE(undecided.contains("chosen"));
    own.wait(30s);
    bank.wait(30s);
    const std::string log = read_file(directory_ / "pgbench.log");
    EXPECT_THAT(log, testing::ContainsRegex("failed transactions: 0 .*failed transactions: 0 "));
    const CheckReport quiet = check();
    EXPECT_TRUE(quiet.undecided.empty()) << describe(quiet);
}

}  // namespace
}  // namespace antipode::test
