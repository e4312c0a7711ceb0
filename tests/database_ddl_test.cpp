#include "tests/support/database_ddl.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/ddl_setup.hpp"
#include "apps/antipode/database.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(DatabaseDdl, FollowsTablesColumnsAndConstraints) {
    on_a(
        "CREATE TABLE items (id serial PRIMARY KEY, name text NOT NULL, n int DEFAULT 5); "
        "INSERT INTO items (name) VALUES ('a'), ('b')");
    follow();
    on_a(
        "ALTER TABLE items ADD price numeric(10, 2) DEFAULT 1.5 CHECK (price > 0); "
        "ALTER TABLE items RENAME COLUMN name TO title; ALTER TABLE items DROP COLUMN n; "
        "INSERT INTO items (title, price) VALUES ('c', 7)");
    on_a(
        "ALTER TABLE items ALTER price TYPE bigint; ALTER TABLE items ALTER title SET DEFAULT ''; "
        "CREATE TABLE parts (item int REFERENCES items ON DELETE CASCADE, v text, "
        "UNIQUE (item, v)); ALTER TABLE before RENAME TO afterwards; "
        "INSERT INTO parts VALUES (1, 'p'); INSERT INTO afterwards VALUES (2, 'y')");
    follow();
    on_a("DROP TABLE parts; DROP TABLE IF EXISTS nothing; DROP TABLE items CASCADE");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
}

TEST_F(DatabaseDdl, FollowsEveryKindOfObject) {
    on_a(R"(CREATE SCHEMA "Odd s" CREATE TABLE inner_table (id int PRIMARY KEY);
        CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TYPE pair AS (a int, b text);
        CREATE DOMAIN positive AS int CHECK (value > 0);
        CREATE SEQUENCE numbers INCREMENT 5 START 100;
        CREATE TABLE t (id int PRIMARY KEY, m mood, p pair, n positive, made timestamptz);
        CREATE INDEX t_m ON t (m) WHERE n > 3;
        CREATE STATISTICS t_stats ON m, n FROM t;
        CREATE VIEW v AS SELECT id, m FROM t;
        CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS c FROM t;
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN NEW.made := 'epoch'; RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
        CREATE RULE r AS ON DELETE TO v DO INSTEAD NOTHING;
        CREATE EXTENSION citext;
        ALTER TABLE t ADD c citext;
        COMMENT ON TABLE t IS 'what is "t"; it''s ü';
        COMMENT ON COLUMN t.m IS 'mood';
        GRANT SELECT, UPDATE (m) ON t TO reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
        ALTER TABLE t ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON t FOR SELECT TO reader USING (id > 0);
        ALTER TABLE t OWNER TO app_owner;
        CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0');
        CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple);)");
    on_a("INSERT INTO t VALUES (1, 'ok', '(1,x)', 5); REFRESH MATERIALIZED VIEW mv");
    follow();
    EXPECT_EQ(on_b("SELECT c FROM mv"), "1");
    EXPECT_EQ(on_b("SELECT made = 'epoch' FROM t"), "t");
    on_a(R"(ALTER TYPE mood ADD VALUE 'great' AFTER 'ok'; INSERT INTO t VALUES (2, 'great');
        ALTER TYPE pair ADD ATTRIBUTE c int; ALTER SEQUENCE numbers MAXVALUE 1000;
        ALTER SCHEMA "Odd s" RENAME TO even; ALTER VIEW v RENAME TO w; ALTER INDEX t_m RENAME TO i;
        ALTER POLICY own ON t USING (id > 1); REVOKE SELECT ON t FROM reader;
        CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RETURN NEW; END';
        ALTER TRIGGER note ON t RENAME TO noted; ALTER TABLE t DISABLE TRIGGER noted;
        ALTER TABLE t SET SCHEMA even; COMMENT ON TABLE even.t IS NULL)");
    follow();
    on_a(
        "DROP POLICY own ON even.t; DROP TRIGGER noted ON even.t; DROP FUNCTION note(); "
        "DROP MATERIALIZED VIEW mv; DROP VIEW w; DROP SEQUENCE numbers; DROP AGGREGATE total(int); "
        "DROP TEXT SEARCH CONFIGURATION tsc; DROP SCHEMA even CASCADE; DROP TYPE mood, pair; "
        "DROP DOMAIN positive; DROP EXTENSION citext");
    follow();
}

TEST_F(DatabaseDdl, FollowsIndexesMadeConcurrentlyAndPartitions) {
    on_a(
        "CREATE TABLE parted (id int, day date, v text, PRIMARY KEY (id, day)) "
        "PARTITION BY RANGE (day); CREATE TABLE p1 PARTITION OF parted "
        "FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); CREATE TABLE p2 (LIKE parted); "
        "ALTER TABLE parted ATTACH PARTITION p2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); "
        "INSERT INTO parted VALUES (1, '2026-01-05', 'a'), (2, '2026-02-05', 'b'); "
        "UPDATE parted SET day = '2026-02-06' WHERE id = 1");
    on_a("CREATE INDEX CONCURRENTLY before_v ON before (v)");
    on_a("CREATE UNIQUE INDEX CONCURRENTLY ON before (v, id)");
    follow();
    on_a("ALTER TABLE parted DETACH PARTITION p1 CONCURRENTLY");
    // That leaves a constraint that says what the partition's bounds said; the plain form does not.
    on_a("SET session_replication_role = replica; ALTER TABLE p1 DROP CONSTRAINT p1_day_check");
    on_a("DROP INDEX CONCURRENTLY before_v");
    on_a("DROP TABLE p2; INSERT INTO p1 VALUES (9, '2026-01-09', 'z')");
    follow();
}

TEST_F(DatabaseDdl, RunsOnlyTheStatementThatFired) {
    run("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); "
        "CREATE TEMP TABLE hidden (id int); CREATE TABLE b (id int PRIMARY KEY); "
        "INSERT INTO b SELECT id + 1 FROM a; DROP TABLE hidden; ALTER TABLE a ADD v text; "
        "ALTER TABLE b ADD v text DEFAULT ';'; UPDATE a SET v = 'x'; CREATE INDEX ON a (v); "
        "CREATE INDEX ON b (v)");
    follow();
    run("BEGIN; CREATE TABLE c (id int PRIMARY KEY); COMMIT; CREATE TABLE d (id int PRIMARY KEY); "
        "DROP TABLE a; DROP TABLE b");
    follow();
    EXPECT_EQ(on_b("SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables "
                   "WHERE schemaname = 'public'"),
              "before c d");
}

TEST_F(DatabaseDdl, FollowsWhatFunctionsAndBlocksDo) {
    run(R"(DO $$ BEGIN
            FOR i IN 1..3 LOOP
                EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY); INSERT INTO t%s VALUES (%s)',
                               i, i, i);
            END LOOP;
            BEGIN
                CREATE TABLE undone (id int);
                RAISE division_by_zero;
            EXCEPTION WHEN division_by_zero THEN
                CREATE TABLE instead (id int PRIMARY KEY);
            END;
        END $$;)");
    run(R"(CREATE FUNCTION make(name text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN
            EXECUTE 'CREATE TABLE ' || quote_ident(name) || E' ("a ""b" int PRIMARY KEY,\n v text)';
        END $f$;
        CREATE FUNCTION make_plain() RETURNS void LANGUAGE sql AS
            'SELECT 1; CREATE TABLE plain (id int PRIMARY KEY); CREATE INDEX ON before (v)')");
    run("SELECT make('One Two'); SELECT make('other'); SELECT make_plain()");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "8");
}

TEST_F(DatabaseDdl, KeepsTheOrderOfRowsAndStructureInATransaction) {
    on_a(
        "BEGIN; INSERT INTO before VALUES (2, 'old'); ALTER TABLE before RENAME v TO w; "
        "INSERT INTO before VALUES (3, 'new'); ALTER TABLE before RENAME TO renamed; "
        "ALTER TABLE renamed ADD extra int; INSERT INTO renamed VALUES (4, 'newer', 7); "
        "CREATE TABLE before (other text PRIMARY KEY); INSERT INTO before VALUES ('o'); "
        "DELETE FROM renamed WHERE id = 2; ALTER TABLE renamed DROP COLUMN w; "
        "UPDATE renamed SET extra = 1; COMMIT");
    follow();
    on_a(
        "BEGIN; CREATE TABLE gone (id int); INSERT INTO gone VALUES (1); ROLLBACK; "
        "BEGIN; SAVEPOINT s; CREATE TABLE gone (id int); ROLLBACK TO s; "
        "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1); COMMIT");
    on_a(
        "BEGIN; CREATE TABLE short (id int PRIMARY KEY); INSERT INTO short VALUES (1); "
        "DROP TABLE short; COMMIT");
    follow();
}

TEST_F(DatabaseDdl, MakesTablesFromQueriesAndTakesTheirRowsFromTheStream) {
    on_a(
        "CREATE TABLE made AS SELECT i AS id, md5(random()::text) AS r "
        "FROM generate_series(1, 20000) i");
    on_a(
        "SELECT id, clock_timestamp() AS at INTO taken FROM made WHERE id < 10; "
        "CREATE TEMP TABLE hidden AS SELECT * FROM made; CREATE TABLE empty AS SELECT * FROM made "
        "WITH NO DATA");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM made"), "20000");
}

TEST_F(DatabaseDdl, GivesNewColumnsWhatThePrimaryGaveThem) {
    on_a(
        "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'German'; "
        "ALTER TABLE before ADD made timestamptz DEFAULT now(); "
        "ALTER TABLE before ADD day text DEFAULT current_date; ALTER TABLE before ADD n int[] "
        "DEFAULT '{1,2}'; INSERT INTO before VALUES (2)");
    follow();
    on_a(
        "CREATE TABLE young (id int); ALTER TABLE young ADD u uuid DEFAULT gen_random_uuid(); "
        "ALTER TABLE young ADD s serial; INSERT INTO young VALUES (1)");
    follow();
}

TEST_F(DatabaseDdl, RunsStatementsAsTheirRoleWithTheirSettings) {
    on_a("CREATE SCHEMA first AUTHORIZATION app_owner; CREATE SCHEMA second");
    on_a(
        "SET ROLE app_owner; SET search_path = first, second; CREATE TABLE t (id int PRIMARY KEY, "
        "at date DEFAULT '01.02.2026'); SET DateStyle = 'German'; ALTER TABLE t ADD d date DEFAULT "
        "'03.02.2026'; INSERT INTO t VALUES (1)");
    on_a(
        "SET standard_conforming_strings = off; SET escape_string_warning = off; "
        "CREATE VIEW w AS SELECT 'a\\\\b' AS v");
    follow();
    EXPECT_EQ(on_b("SELECT tableowner FROM pg_tables WHERE tablename = 't'"), "app_owner");
    // A role that is missing here, until it is made.
    a_.psql("CREATE ROLE newcomer; GRANT ALL ON SCHEMA first TO newcomer", "app");
    on_a("SET ROLE newcomer; CREATE TABLE first.theirs (id int)");
    EXPECT_THAT(halts(), AllOf(HasSubstr("newcomer"), HasSubstr("GRANT ")));
    b_.psql("CREATE ROLE newcomer");
    given_ = Position{};
    follow();
}

TEST_F(DatabaseDdl, AppliesEachStatementOnceAcrossCrashes) {
    for (int round = 0; round < 3; ++round) {
        const std::string n = std::to_string(round);
        on_a("BEGIN; CREATE TABLE t" + n + " (id int PRIMARY KEY); INSERT INTO t" + n +
             " VALUES (1); ALTER TABLE t" + n + " ADD v text; COMMIT; ALTER TABLE before ADD c" +
             n + " int DEFAULT " + n);
        capture_up_to(primary_->capture.wal_position());
        const std::vector<protocol::Event> events(stream_.begin(), stream_.end());
        // Some parts, then the secondary's daemon or its server dies.
        const size_t some = events.size() - 2;
        apply_each(events, some);
        if (round == 1) {
            b_.kill();
            b_.start();
        }
        restart_secondary();
        given_ = Position{};
        apply_each(events, events.size());
        // Nothing was confirmed: everything comes again in a new session.
        restart_primary();
        restart_secondary();
        given_ = Position{};
        capture_up_to(primary_->capture.wal_position());
        apply();
        expect_same();
    }
}

TEST_F(DatabaseDdl, ACopyKnowsWhichChangesItHoldsAlready) {
    // Not confirmed, so it comes again to a site that copies now.
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t ADD v text; "
        "INSERT INTO t VALUES (2, 'x'); CREATE TABLE dropped (id int); "
        "INSERT INTO dropped VALUES (1); DROP TABLE dropped; "
        "CREATE TABLE renamed (id int); INSERT INTO renamed VALUES (7); "
        "ALTER TABLE renamed RENAME TO new_name");
    capture_up_to(primary_->capture.wal_position());
    b_.psql("DROP DATABASE app WITH (FORCE)");
    b_.psql("CREATE DATABASE app OWNER app_owner");
    restart_secondary();
    given_ = Position{};
    copy();
    on_a("ALTER TABLE t ADD w text; INSERT INTO t VALUES (3, 'y', 'z')");
    follow();
}

TEST_F(DatabaseDdl, HaltsWhenToldToAndNamesTheStatement) {
    secondary_->apply.position();
    secondary::TransactionApply halting(store, secondary_->session, secondary::DdlPolicy::Halt);
    on_a("INSERT INTO before VALUES (2, 'y'); CREATE TABLE t (id int)");
    capture_up_to(primary_->capture.wal_position());
    std::vector<const protocol::Event*> events;
    for (const protocol::Event& event : stream_) {
        events.push_back(&event);
    }
    EXPECT_THAT(error_of([&] { halting.apply(events); }, Reaction::Stop),
                AllOf(HasSubstr("CREATE TABLE t (id int)"), HasSubstr("table public.t"),
                      HasSubstr("ddl = \"apply\"")));
    EXPECT_EQ(on_b("SELECT count(*) FROM before"), "2");
    restart_secondary();
    follow();
}

TEST_F(DatabaseDdl, NobodyElseMayWriteItsMessages) {
    on_a("CREATE ROLE mallory LOGIN; GRANT CREATE ON SCHEMA public TO mallory");
    const std::string content = R"({"tag": "x", "text": "CREATE ROLE evil", "role": "postgres"})";
    const auto refused = [&](const std::string& sql) {
        postgres::Connection mallory(a_.url("app", "mallory"), "test");
        return error_of([&] { mallory.execute("attack", sql); }, Reaction::Stop);
    };
    EXPECT_THAT(refused("SELECT pg_logical_emit_message(true, 'antipode.ddl', '" + content + "')"),
                HasSubstr("permission denied"));
    const std::string call =
        "antipode.emit_ddl('ddl_command_end', 'CREATE TABLE', 'postgres', E'x\\n', '{}')";
    EXPECT_THAT(refused("SELECT " + call), HasSubstr("only event triggers"));
    EXPECT_THAT(refused("SET search_path = public; CREATE FUNCTION capture_ddl() RETURNS boolean "
                        "LANGUAGE plpgsql AS $f$ BEGIN RETURN " +
                        call + "; END $f$; SELECT capture_ddl()"),
                HasSubstr("only event triggers"));
    // Who changes structure without other rights is followed as himself.
    postgres::Connection mallory(a_.url("app", "mallory"), "test");
    mallory.execute("working", "CREATE TABLE public.mine (id int)");
    b_.psql("CREATE ROLE mallory; GRANT CREATE ON SCHEMA public TO mallory", "app");
    catch_up();
    EXPECT_EQ(on_b("SELECT tableowner FROM pg_tables WHERE tablename = 'mine'"), "mallory");
}

TEST_F(DatabaseDdl, GivesTablesAnIdentityWithTheStatementThatMakesThem) {
    const auto identity = [&](const std::string& table) {
        return on_a("SELECT relreplident FROM pg_class WHERE oid = '" + table + "'::regclass");
    };
    run("BEGIN; CREATE TABLE bare (v int); INSERT INTO bare VALUES (1), (2); "
        "UPDATE bare SET v = 3 WHERE v = 1; DELETE FROM bare WHERE v = 2; COMMIT");
    run("CREATE TABLE filled AS SELECT 1 AS v; UPDATE filled SET v = 2");
    run("CREATE TABLE parted (v int NOT NULL, UNIQUE (v)) PARTITION BY LIST (v);"
        "CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)");
    run("CREATE TEMP TABLE brief (v int); CREATE UNLOGGED TABLE unlogged (v int)");
    catch_up();
    expect_equal();
    EXPECT_EQ(identity("bare"), "f");
    EXPECT_EQ(identity("filled"), "f");
    EXPECT_EQ(identity("part"), "i");
    EXPECT_EQ(identity("unlogged"), "d");
    run("ALTER TABLE bare ADD PRIMARY KEY (v); UPDATE bare SET v = 5");
    run("ALTER TABLE filled REPLICA IDENTITY FULL; ALTER TABLE filled ADD PRIMARY KEY (v)");
    catch_up();
    expect_equal();
    EXPECT_EQ(identity("bare"), "d") << "its key tells its rows apart now";
    EXPECT_EQ(identity("filled"), "f") << "somebody chose it";
    run("BEGIN; ALTER TABLE before DROP CONSTRAINT before_pkey; UPDATE before SET v = 'y'; COMMIT");
    catch_up();
    expect_equal();
    EXPECT_EQ(identity("before"), "f");
    run("ALTER TABLE before REPLICA IDENTITY NOTHING");
    EXPECT_EQ(identity("before"), "n");
}

TEST_F(DatabaseDdl, LeavesIdentitiesToTheOperatorWhoWantsIt) {
    postgres::run_ddl_setup(a_.url("app"), "postgres", postgres::Identities::Chosen);
    run("CREATE TABLE bare (v int); INSERT INTO bare VALUES (1)");
    EXPECT_EQ(on_a("SELECT relreplident FROM pg_class WHERE relname = 'bare'"), "d");
    EXPECT_EQ(on_a("SELECT to_regclass('antipode.given_identity')"), "");
    follow();
}

TEST_F(DatabaseDdl, SetupMayBeRepeatedAndCaptureDoesWithoutIt) {
    EXPECT_TRUE(primary_->control.facts().ddl_captured);
    const std::string before = schema_of(a_);
    postgres::run_ddl_setup(a_.url("app"), "postgres");
    EXPECT_EQ(schema_of(a_), before);
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    follow();
    on_a("DROP EVENT TRIGGER antipode_drop");
    EXPECT_FALSE(primary_->control.facts().ddl_captured);
    on_a(
        "DROP EVENT TRIGGER antipode_ddl; DROP EVENT TRIGGER antipode_create_as; "
        "CREATE TABLE unseen (id int PRIMARY KEY); INSERT INTO unseen VALUES (1)");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("unseen"));
    copy();  // of that table alone
    EXPECT_EQ(on_b("SELECT id FROM unseen"), "1");
    EXPECT_THAT(postgres::ddl_setup_sql("it's"), AllOf(HasSubstr("'it''s'"), Not(HasSubstr("@"))));
}

TEST_F(DatabaseDdl, TheCommandSetsUpWithASuperusersUrlForTheDaemonsRole) {
    on_a("DROP EVENT TRIGGER antipode_ddl; CREATE ROLE daemon LOGIN REPLICATION");
    Config config;
    config.databases = {primary_->config};
    config.databases[0].url = a_.url("app", "daemon");
    std::ostringstream out;
    const cli::Output table{out, out};
    const cli::Output json{out, out, cli::Format::Json};
    const cli::OpenBucket no_nats = [](const Config::Site&, bool) -> std::unique_ptr<KeyValue> {
        throw Error(Reaction::Retry, "connection refused");
    };
    cli::DatabaseSetupOptions options;
    options.dry_run = true;
    EXPECT_THROW(cli::setup_database(config, no_nats, table, options), cli::CommandError);
    options.role = "primary";
    EXPECT_EQ(cli::setup_database(config, no_nats, table, options), cli::ExitCode::Ok);
    EXPECT_THAT(out.str(),
                AllOf(HasSubstr("CREATE EVENT TRIGGER antipode_ddl"), HasSubstr("'daemon'")));
    EXPECT_FALSE(primary_->control.facts().ddl_captured);
    options.dry_run = false;
    EXPECT_THAT(
        error_of([&] { cli::setup_database(config, no_nats, table, options); }, Reaction::Stop),
        AllOf(HasSubstr("permission denied"), HasSubstr("--url")));
    options.url = a_.url("app");
    out.str("");
    EXPECT_EQ(cli::setup_database(config, no_nats, json, options), cli::ExitCode::Ok);
    EXPECT_THAT(out.str(), HasSubstr("\"role\":\"daemon\",\"done\":true"));
    EXPECT_TRUE(primary_->control.facts().ddl_captured);
    postgres::Connection daemon(a_.url("app", "daemon"), "test");
    daemon.query("asking", "SELECT pg_logical_emit_message(true, 'antipode', '')");
}

}  // namespace
}  // namespace antipode::test
