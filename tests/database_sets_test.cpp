// Many row changes at once: what the secondary makes of them in sets must be what they do in turn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

TEST_F(DatabaseLane, ManyChangesOfTheSameRowsLeaveTheLast) {
    on_a(
        "CREATE TABLE t (a text, b int, v text, big text, PRIMARY KEY (a, b)); "
        "ALTER TABLE t ALTER big SET STORAGE external");
    start_capture();
    copy();
    const std::string big = "repeat('x', 5000)";
    on_a("INSERT INTO t SELECT i || ':', i % 3, 'v', " + big +
         " FROM generate_series(1, 100) i; INSERT INTO t VALUES ('1', 11, 'v'), ('11', 1, 'v')");
    catch_up();
    expect_equal();
    on_a(
        "UPDATE t SET v = 'seen'; UPDATE t SET big = v WHERE b = 0; UPDATE t SET v = big WHERE b = "
        "1; DELETE FROM t WHERE b = 2; INSERT INTO t SELECT i || ':', 2, E'a\\tb\\\\\\n' FROM "
        "generate_series(1, 50) i; UPDATE t SET b = b + 10; UPDATE t SET a = a || '\"' WHERE b = "
        "10; DELETE FROM t WHERE a LIKE '3%'; UPDATE t SET big = NULL WHERE a LIKE '4%'");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM t WHERE v = 'seen' AND length(big) = 5000"),
              on_a("SELECT count(*) FROM t WHERE v = 'seen' AND length(big) = 5000"));
}

TEST_F(DatabaseLane, RowsThatTradeUniqueValuesAreChangedInTurn) {
    on_a("CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v text)");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT i, i, 'v' FROM generate_series(1, 60) i");
    catch_up();
    on_a(
        "UPDATE t SET u = -u; UPDATE t SET u = 61 + u; "
        "BEGIN; UPDATE t SET id = -id; UPDATE t SET id = id + 61; COMMIT; "
        "DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (7, 100, 'again')");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseLane, TablesWithAndWithoutKeysGoTogether) {
    on_a(
        "CREATE TABLE log (at int, what text); "
        "CREATE TABLE t (id int PRIMARY KEY, v box[], b box); "
        "CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, "
        "double int GENERATED ALWAYS AS (n * 2) STORED)");
    start_capture();
    copy();
    on_a(
        "INSERT INTO log SELECT i, 'a' FROM generate_series(1, 40) i; "
        "INSERT INTO t SELECT i, ARRAY[box(point(i, i), point(0, 1))], box(point(1, i), point(2, "
        "2))"
        " FROM generate_series(1, 40) i; INSERT INTO g (n) SELECT i FROM generate_series(1, 40) i; "
        "UPDATE log SET what = 'b' WHERE at % 2 = 0; DELETE FROM log WHERE at % 3 = 0");
    catch_up();
    expect_equal();
    on_a(
        "UPDATE t SET v = v || b, b = box(point(id, 0), point(0, 0)); UPDATE g SET n = n + 1; "
        "INSERT INTO log VALUES (1, NULL); TRUNCATE g; INSERT INTO g (n) SELECT i FROM "
        "generate_series(1, 30) i; DELETE FROM t WHERE id > 10");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseLane, RowsAreDeletedByKeysOfManyTypes) {
    on_a(
        "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('a', 'b', 'c'); "
        "CREATE DOMAIN code AS varchar(20) CHECK (value <> ''); "
        "CREATE TABLE texts (k text PRIMARY KEY); CREATE TABLE chars (k char(6) PRIMARY KEY); "
        "CREATE TABLE cits (k citext PRIMARY KEY); CREATE TABLE codes (k code PRIMARY KEY); "
        "CREATE TABLE uuids (k uuid PRIMARY KEY); CREATE TABLE bytes (k bytea PRIMARY KEY); "
        "CREATE TABLE numbers (k numeric PRIMARY KEY); CREATE TABLE floats (k float8 PRIMARY KEY); "
        "CREATE TABLE times (k timestamptz PRIMARY KEY); CREATE TABLE moods (k mood PRIMARY KEY); "
        "CREATE TABLE arrays (k int[] PRIMARY KEY); CREATE TABLE ranges (k int4range PRIMARY KEY); "
        "CREATE TABLE \"Odd \"\" name\" (\"a key\" bigint PRIMARY KEY); "
        "CREATE TABLE parts (k int PRIMARY KEY, v int) PARTITION BY RANGE (k); "
        "CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (50); "
        "CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (50) TO (1000)");
    start_capture();
    copy();
    // For each i up to 90, so that few of them are told by the first characters.
    const std::string fill =
        "INSERT INTO texts SELECT i || E'{\"\\\\,\\n''}' FROM generate_series(1, 90) i; "
        "INSERT INTO texts VALUES (''), ('NULL'), ('{}'), (' '), ('ä'); "
        "INSERT INTO chars SELECT i || '' FROM generate_series(1, 90) i; "
        "INSERT INTO cits SELECT 'Ab' || i FROM generate_series(1, 90) i; "
        "INSERT INTO codes SELECT 'c' || i FROM generate_series(1, 90) i; "
        "INSERT INTO uuids SELECT md5(i::text)::uuid FROM generate_series(1, 90) i; "
        "INSERT INTO bytes SELECT decode(md5(i::text), 'hex') FROM generate_series(1, 90) i; "
        "INSERT INTO numbers SELECT i / 7.0 FROM generate_series(1, 90) i; "
        "INSERT INTO numbers VALUES ('NaN'), ('Infinity'); "
        "INSERT INTO floats SELECT sqrt(i) FROM generate_series(1, 90) i; "
        "INSERT INTO floats VALUES ('NaN'), ('-Infinity'), (-0.0); "
        "INSERT INTO times SELECT timestamptz 'epoch' + i * interval '1.7 s' FROM "
        "generate_series(1, 90) i; INSERT INTO times VALUES ('infinity'); "
        "INSERT INTO moods VALUES ('a'), ('b'), ('c'); "
        "INSERT INTO arrays SELECT ARRAY[i, NULL, i + 1] FROM generate_series(1, 90) i; "
        "INSERT INTO ranges SELECT int4range(i, i + 3) FROM generate_series(1, 90) i; "
        "INSERT INTO \"Odd \"\" name\" SELECT i * 10000000000 FROM generate_series(1, 90) i; "
        "INSERT INTO parts SELECT i, i FROM generate_series(1, 90) i";
    on_a(fill);
    catch_up();
    expect_equal();
    for (const char* which : {"% 3 = 0", "> 0"}) {
        std::string remove;
        for (const char* table : {"texts", "chars", "cits", "codes", "uuids", "bytes", "numbers",
                                  "floats", "times", "moods", "arrays", "ranges", "parts"}) {
            remove += "DELETE FROM " + std::string(table) + " WHERE ctid IN (SELECT ctid FROM " +
                      table + " WHERE hashtext(k::text)::bigint + 3000000000 " + which + "); ";
        }
        on_a(remove + "DELETE FROM \"Odd \"\" name\" WHERE \"a key\" / 10000000000 " + which);
        catch_up();
        expect_equal();
    }
    EXPECT_EQ(on_b("SELECT count(*) FROM texts"), "0");
}

TEST_F(DatabaseLane, ATableMayChangeItsShapeBetweenTwoOfThem) {
    on_a("CREATE TABLE t (id int PRIMARY KEY, v text)");
    start_capture();
    copy();
    on_b("ALTER TABLE t ADD COLUMN w int");
    on_a(
        "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 40) i; ALTER TABLE t ADD COLUMN w int;"
        "UPDATE t SET w = id, v = NULL; DELETE FROM t WHERE id > 30");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseLane, OneBadRowOfManyIsNamedAndWhatCameBeforeIsKept) {
    on_a("CREATE TABLE t (id int PRIMARY KEY, v text)");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 50) i");
    catch_up();
    on_b("DELETE FROM t WHERE id = 33");
    on_a("UPDATE t SET v = 'first' WHERE id <= 30");
    on_a("UPDATE t SET v = 'second'");
    const std::string error = error_of([&] { catch_up(); }, Reaction::Stop);
    EXPECT_THAT(error, HasSubstr("public.t, key (id = 33)"));
    EXPECT_EQ(on_b("SELECT count(*), max(v) FROM t WHERE v <> 'v'"), "30|first");
    on_b("INSERT INTO t VALUES (33, 'v')");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseLane, ARowThatIsThereAlreadyIsNamedAmongManyThatAreInserted) {
    on_a("CREATE TABLE t (id int PRIMARY KEY, v text)");
    start_capture();
    copy();
    on_b("INSERT INTO t VALUES (400, 'by hand')");
    on_a("INSERT INTO t SELECT i, repeat('v', 2000) FROM generate_series(1, 500) i");
    const std::string error = error_of([&] { catch_up(); }, Reaction::Stop);
    EXPECT_THAT(error, HasSubstr("public.t, key (id = 400)"));
    EXPECT_EQ(on_b("SELECT count(*) FROM t"), "1");
    on_b("DELETE FROM t");
    catch_up();
    expect_equal();
}

/// More than are applied at once, of which some are gathered while others are applied.
TEST_F(DatabaseLane, AmongVeryManyABadRowIsNamedAndAnotherTableIsFound) {
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id serial PRIMARY KEY, v "
        "text)");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 90000) i");
    catch_up();
    expect_equal();
    on_b("DELETE FROM t WHERE id = 33");
    on_a(
        "BEGIN; UPDATE t SET v = 'w'; INSERT INTO u (v) SELECT 'v' FROM generate_series(1, 30000);"
        "DELETE FROM t WHERE id > 1000; COMMIT");
    const std::string error = error_of([&] { catch_up(); }, Reaction::Stop);
    EXPECT_THAT(error, HasSubstr("public.t, key (id = 33)"));
    EXPECT_EQ(on_b("SELECT count(*), max(v) FROM t"), "89999|v");
    on_b("INSERT INTO t VALUES (33, 'v')");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT nextval('u_id_seq')"), "30001");
}

}  // namespace
}  // namespace antipode::test
