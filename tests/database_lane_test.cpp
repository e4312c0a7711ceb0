#include "tests/support/database_lane.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verify/database/table_digest.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(DatabaseLane, CopiesAndThenFollows) {
    on_a(
        "CREATE TABLE items (id int PRIMARY KEY, v text); "
        "INSERT INTO items SELECT i, 'before ' || i FROM generate_series(1, 1000) i");
    start_capture();
    copy();
    EXPECT_EQ(on_b("SELECT count(*) FROM items"), "1000");
    on_a(
        "INSERT INTO items VALUES (2000, 'after'); UPDATE items SET v = 'new' WHERE id = 5; "
        "DELETE FROM items WHERE id = 6");
    catch_up();
    expect_equal();
    EXPECT_EQ(secondary_->apply.position().transactions, 3U);
}

constexpr const char* every_type = R"(
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE TABLE types (
        id bigint PRIMARY KEY, b boolean, i2 smallint, n numeric, n2 numeric(12, 4), r real,
        d double precision, m money, c char(5), vc varchar(20), t text, ba bytea, ts timestamp,
        tz timestamptz, da date, ti time, tiz timetz, iv interval, u uuid, js json, jb jsonb,
        x xml, ip inet, mac macaddr, bi bit(3), vb bit varying, p point, po polygon, tv tsvector,
        r4 int4range, a int[], ta text[], e mood, co pair, dom positive, nm name, ch "char",
        o oid, ls pg_lsn);
)";

constexpr const char* rows_of_every_type = R"(
    INSERT INTO types VALUES (1, true, -7, 123456789012345678901234567890.000100, 1.5, 0.1,
        1e300, '12.34', 'ab', 'x', E'tab\t, quote \' and \\ and newline\n', '\x00ff5c',
        '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+07', '0044-03-15 BC',
        '23:59:59.999999', '12:00:00+05:30', '1 year 2 mons -3 days 04:05:06.7',
        '12345678-1234-5678-1234-567812345678', '{"a":  1}', '{"b": [1, null]}',
        '<a>x</a>', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '1', '(1.5,-2)',
        '((0,0),(1,1),(2,0))',
        'a:1 fat:2', '[1,5)', '{1,NULL,3}', '{"a,b","c\"d",NULL,""}', 'ok', '(1,"x y")', 5, 'nam',
        'c', 12, '16/B374D848');
    INSERT INTO types (id) VALUES (2);
    INSERT INTO types (id, r, d, n, ts, tz, t) VALUES (3, 'NaN', '-Infinity', 'NaN', 'infinity',
        '-infinity', 'ünicöde 😀');
    INSERT INTO types (id, d) VALUES (4, 0.1::float8 + 0.2), (5, '-0');
    UPDATE types SET t = '', c = '     ', ba = '' WHERE id = 2;
    UPDATE types SET d = 3.3, tz = tz WHERE id = 3;
)";

TEST_F(DatabaseLane, KeepsValuesOfEveryTypeWhateverTheDatabasesSettings) {
    on_a(
        "ALTER DATABASE app SET DateStyle = 'German'; ALTER DATABASE app SET bytea_output = "
        "escape; "
        "ALTER DATABASE app SET extra_float_digits = -5; ALTER DATABASE app SET TimeZone = 'Asia/"
        "Kolkata'; ALTER DATABASE app SET IntervalStyle = 'sql_standard'");
    on_b("ALTER DATABASE app SET DateStyle = 'SQL, DMY'; ALTER DATABASE app SET TimeZone = 'UTC'");
    on_a(std::string(every_type) + rows_of_every_type);
    start_capture();
    restart_primary();
    copy();
    on_a(
        "BEGIN; CREATE TEMP TABLE hidden (LIKE types); INSERT INTO hidden SELECT * FROM types; "
        "DELETE FROM types; COMMIT");
    on_a(rows_of_every_type);
    catch_up();
    const std::string all =
        "SET DateStyle = ISO; SET TimeZone = UTC; SET bytea_output = hex; SET IntervalStyle = "
        "postgres; SET extra_float_digits = 3; SELECT * FROM types ORDER BY id";
    EXPECT_EQ(on_a(all), on_b(all));
    postgres::Connection a(a_.url("app"), "test");
    postgres::Connection b(b_.url("app"), "test");
    const auto digest = verify::table_digest(a, {"public", "types"});
    EXPECT_EQ(digest.rows, 5U);
    EXPECT_EQ(digest.digest, verify::table_digest(b, {"public", "types"}).digest);
    on_b("UPDATE types SET n2 = 1.6 WHERE id = 1");
    EXPECT_NE(digest.digest, verify::table_digest(b, {"public", "types"}).digest);
    EXPECT_THAT(on_b("SELECT d FROM types WHERE id = 4"), HasSubstr("0.30000000000000004"));
    on_b("UPDATE types SET n2 = NULL WHERE id = 1");
    on_a("UPDATE types SET n2 = NULL WHERE id = 1");
    catch_up();
    // Many at once go another way.
    on_a(
        "CREATE TEMP TABLE more AS TABLE types; DO $$ BEGIN FOR k IN 1..12 LOOP "
        "UPDATE more SET id = id + 10; INSERT INTO types SELECT * FROM more; END LOOP; END $$");
    catch_up();
    EXPECT_EQ(on_a(all), on_b(all));
    on_a("UPDATE types SET b = NOT b; UPDATE types SET i2 = id WHERE id % 2 = 0");
    catch_up();
    EXPECT_EQ(on_a(all), on_b(all));
    on_a("DELETE FROM types WHERE id > 15");
    catch_up();
    EXPECT_EQ(on_a(all), on_b(all));
    // None of it was refused first, and then done row by row.
    EXPECT_THAT(read_file(directory_ / "b/postgres.log"), Not(HasSubstr("ERROR")));
}

TEST_F(DatabaseLane, KeepsUnchangedLargeValuesAndFollowsKeyChanges) {
    const std::string big = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 3000) i)";
    on_a(
        "CREATE TABLE docs (a int, b text, n int, big text, other text, PRIMARY KEY (a, b)); "
        "ALTER TABLE docs ALTER big SET STORAGE external; INSERT INTO docs VALUES (1, 'x', 0, " +
        big + ", 'o')");
    start_capture();
    copy();
    on_a(
        "UPDATE docs SET n = 1; UPDATE docs SET a = 2; UPDATE docs SET b = 'y', n = 3; "
        "INSERT INTO docs VALUES (5, 'z', 0, " +
        big +
        ", NULL); "
        "UPDATE docs SET big = 'short' WHERE a = 5; UPDATE docs SET other = big WHERE a = 2; "
        "BEGIN; UPDATE docs SET a = 9 WHERE a = 5; UPDATE docs SET a = 5 WHERE a = 2; "
        "UPDATE docs SET a = 2 WHERE a = 9; COMMIT");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT length(big) FROM docs WHERE a = 5"), "96000");
}

TEST_F(DatabaseLane, ChangesExactlyOneOfSeveralEqualRowsWithoutAKey) {
    on_a(
        "CREATE TABLE log (a int, b text, j json, c char(4), f float8); "
        "INSERT INTO log SELECT 1, NULL, '{}', 'x', 0.1 FROM generate_series(1, 4); "
        "CREATE TABLE uniq (u int NOT NULL, v text); CREATE UNIQUE INDEX ON uniq (u); "
        "INSERT INTO uniq VALUES (1, 'a')");
    start_capture();
    EXPECT_EQ(on_a("SELECT relname, relreplident FROM pg_class WHERE relname IN ('log', 'uniq') "
                   "ORDER BY 1"),
              "log|f\nuniq|i");
    copy();
    on_a(
        "DELETE FROM log WHERE ctid = '(0,1)'; "
        "UPDATE log SET b = '' WHERE ctid = '(0,2)'; UPDATE log SET a = NULL WHERE b = ''; "
        "INSERT INTO log VALUES (1, NULL, '{ }', 'x', 0.1), (NULL, NULL, NULL, NULL, '-0'); "
        "DELETE FROM log WHERE f = 0; UPDATE uniq SET v = NULL; UPDATE uniq SET u = 7");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM log"), "4");
}

TEST_F(DatabaseLane, HandlesOddNamesGeneratedAndDroppedColumnsAndPartitions) {
    on_a(R"(CREATE SCHEMA "Odd.Schema"" x";
        CREATE TABLE "Odd.Schema"" x"."Täble > *'""" (
            "Id %" int PRIMARY KEY, gone text, "select" text, "a""b" int,
            g int GENERATED ALWAYS AS ("Id %" * 2) STORED);
        ALTER TABLE "Odd.Schema"" x"."Täble > *'""" DROP COLUMN gone;
        CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
        CREATE TABLE only_key (k int PRIMARY KEY);
        CREATE TABLE no_columns ();
        CREATE TABLE parts (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (100);
        CREATE TABLE base (id int PRIMARY KEY, v text);
        CREATE TABLE derived (extra text, PRIMARY KEY (id)) INHERITS (base);
        CREATE UNLOGGED TABLE scratch (id int);
        INSERT INTO scratch VALUES (1); INSERT INTO no_columns DEFAULT VALUES)");
    const std::string changes = R"(
        INSERT INTO "Odd.Schema"" x"."Täble > *'""" VALUES (:n, 'x', 1);
        UPDATE "Odd.Schema"" x"."Täble > *'"""
            SET "select" = 'y', "Id %" = :n + 100 WHERE "Id %" = :n;
        INSERT INTO ident (v) VALUES ('a'), ('b'); UPDATE ident SET v = 'c' WHERE v = 'b';
        INSERT INTO only_key VALUES (:n); UPDATE only_key SET k = k + 1000 WHERE k = :n;
        INSERT INTO no_columns DEFAULT VALUES;
        INSERT INTO parts VALUES (:n, 'low'); UPDATE parts SET id = 10 + :n WHERE id = :n;
        INSERT INTO base VALUES (:n, 'base'); INSERT INTO derived VALUES (:n, 'derived', 'e');
        UPDATE base SET v = 'both'; DELETE FROM ONLY base WHERE id > 1;)";
    on_a("\\set n 1\n" + changes);
    start_capture();
    copy();
    expect_equal_except("scratch");
    on_a("\\set n 2\n" + changes);
    catch_up();
    expect_equal_except("scratch");
    EXPECT_EQ(on_b("SELECT count(*) FROM no_columns"), "3");
}

TEST_F(DatabaseLane, TruncatesAndKeepsTriggersSilent) {
    on_a(R"(CREATE TABLE parent (id serial PRIMARY KEY, v int);
        CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
        CREATE TABLE audit (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.audit VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO parent (v) VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1), (2, 2))");
    start_capture();
    copy();
    on_a("DELETE FROM parent WHERE id = 1; INSERT INTO child VALUES (3, 3)");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"), "1");
    on_a("TRUNCATE parent RESTART IDENTITY CASCADE; INSERT INTO parent (v) VALUES (9)");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT id FROM parent"), "1");
}

TEST_F(DatabaseLane, CopiesWhileTheApplicationWrites) {
    on_a(
        "CREATE TABLE accounts (id int PRIMARY KEY, n int); CREATE TABLE moves (id serial PRIMARY "
        "KEY, a int REFERENCES accounts, b int, n int); "
        "INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 200) i");
    start_capture();
    std::atomic<bool> stop{false};
    const std::string move = R"(
        DO $$ DECLARE x int := 1 + random() * 198; y int := 1 + random() * 198; BEGIN
        FOR i IN 1..20 LOOP
            UPDATE accounts SET n = n - 1 WHERE id = x; UPDATE accounts SET n = n + 1 WHERE id = y;
            INSERT INTO moves (a, b, n) VALUES (x, y, 1);
            IF random() < 0.1 THEN DELETE FROM moves WHERE id = (SELECT min(id) FROM moves); END IF;
            COMMIT;
            x := 1 + random() * 198; y := 1 + random() * 198;
        END LOOP; END $$;)";
    std::vector<std::jthread> writers;
    for (int i = 0; i < 3; ++i) {
        writers.emplace_back([&] {
            while (!stop) {
                run({PostgresServer::program("psql"), "-Xq", a_.url("app")}, move);
            }
        });
    }
    // The copy is cut off after the first table, and goes on there; writes pass between the tables.
    DirectBulk bulk(primary_->bulk);
    bool cut = true;
    std::string last = on_a("SELECT count(*) FROM moves");
    bulk.before = [&](const BulkRequest& request) {
        if (request.path.ends_with("copy")) {
            const std::string seen = last;
            ASSERT_TRUE(eventually([&] {
                last = on_a("SELECT max(id) FROM moves");
                return last != seen;
            }));
        }
        if (cut && request.query.contains("table") && request.query.at("table") == "moves") {
            cut = false;
            throw Error(Reaction::Retry, "the connection was cut");
        }
    };
    const auto copy_all = [&] { secondary_->apply.initial_copy(bulk, [](const auto&) {}, {}); };
    EXPECT_THROW(copy_all(), Error);
    EXPECT_FALSE(secondary_->apply.position().copied);
    restart_secondary();
    copy_all();
    EXPECT_EQ(std::count(bulk.requests.begin(), bulk.requests.end(), "database/app/copy"), 3)
        << "accounts once, moves twice";
    stop = true;
    writers.clear();
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT sum(n) FROM accounts"), "20000");
    EXPECT_EQ(on_b("SELECT convalidated FROM pg_constraint WHERE contype = 'f'"), "t");
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.copied_table"), "0");
    EXPECT_EQ(on_b("SELECT last_value >= (SELECT max(id) FROM moves) - 2000 FROM moves_id_seq"),
              "t");
}

TEST_F(DatabaseLane, NeverOverwritesRowsThatItDidNotCopy) {
    on_a("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    on_b("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)");
    start_capture();
    EXPECT_THAT(error_of([&] { copy(); }, Reaction::Stop),
                testing::AllOf(HasSubstr("public.t"), HasSubstr("not empty")));
    EXPECT_EQ(on_b("SELECT id FROM t"), "7");
    // Empty tables of the operator's are filled, and left as they are.
    on_b("TRUNCATE t; ALTER TABLE t ADD local text DEFAULT 'here'");
    copy();
    EXPECT_EQ(on_b("SELECT * FROM t"), "1|here");
}

TEST_F(DatabaseLane, ProgressIsProvenSoonAlsoAfterAsynchronousCommits) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    for (int i = 0; i < 20; ++i) {
        on_a("SET synchronous_commit = off; INSERT INTO t VALUES (" + std::to_string(i) + ")");
        const auto begin = std::chrono::steady_clock::now();
        capture_up_to(primary_->capture.wal_position());
        EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1000));
    }
    EXPECT_EQ(stream_.size(), 20U);
}

}  // namespace
}  // namespace antipode::test
