// Tables without a key: every row is told by all that it holds, and there may be copies of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

class DatabaseKeyless : public DatabaseLane {
  protected:
    void follow() {
        catch_up();
        expect_equal();
    }
    /// How often rows of a table were read on the secondary, by sequential scans.
    int64_t rows_scanned(const std::string& table) {
        restart_secondary();  // a session tells what it did when it ends
        int64_t before = -1;
        int64_t now = 0;
        EXPECT_TRUE(eventually([&] {
            before = now;
            now = std::stoll(on_b("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '" +
                                  table + "'"));
            return now > 0 && now == before;
        }));
        return now;
    }
};

TEST_F(DatabaseKeyless, CopiesOfRowsComeAndGoAsManyAsTheyAre) {
    on_a("CREATE TABLE t (a int, b text)");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT i % 7, 'x' FROM generate_series(1, 100) i");
    follow();
    on_a(
        "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a = 3 LIMIT 5);"
        "UPDATE t SET b = 'y' WHERE ctid IN (SELECT ctid FROM t WHERE a = 4 LIMIT 6);"
        "INSERT INTO t SELECT 3, 'x' FROM generate_series(1, 3);"
        "UPDATE t SET a = 4, b = 'y' WHERE a = 5; DELETE FROM t WHERE b = 'y' AND a = 4 AND ctid > "
        "(SELECT min(ctid) FROM t WHERE b = 'y'); UPDATE t SET b = b");
    follow();
    on_a("DELETE FROM t WHERE ctid IN (SELECT max(ctid) FROM t GROUP BY a)");
    follow();
}

TEST_F(DatabaseKeyless, ValuesThatAreEqualButNotTheSameAreToldApart) {
    on_a(
        "CREATE EXTENSION citext; CREATE COLLATION loose (provider = icu, locale = "
        "'und-u-ks-level1',"
        " deterministic = false); CREATE TABLE t (f float8, r real, n numeric, c citext, l text "
        "COLLATE loose, j json, x xml, p point, s char(5), i interval, z int[], w text, "
        "double numeric GENERATED ALWAYS AS (n * 2) STORED, gone int); ALTER TABLE t DROP gone");
    start_capture();
    copy();
    const std::string values =
        "(VALUES ('0'::float8, '-0'::real, 1.0, 'a', 'a', '{\"a\":1}', '<a/>', '(0,0)', 'a', "
        "interval '1 day', '{1}'::int[], ''), "
        "('-0', '0', 1.00, 'A', 'A', '{\"a\": 1}', '<a></a>', '(0,-0)', 'a ', '24 hours', "
        "'[2:2]={1}', NULL), "
        "('NaN', 'Infinity', 'NaN', NULL, E'\\u00e4', NULL, NULL, NULL, NULL, NULL, NULL, 'NULL'), "
        "(NULL, NULL, NULL, '', '', 'null', NULL, '(NaN,1)', '', '0', '{NULL}', E'a,\"b\\\\)')) "
        "v (f, r, n, c, l, j, x, p, s, i, z, w)";
    const std::string insert =
        "INSERT INTO t SELECT f, r, n, c, l, j::json, x::xml, p::point, s, i, z, w FROM " + values;
    on_a(insert + ", generate_series(1, 20)");
    follow();
    on_a(
        "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE f::text = '-0' LIMIT 3);"
        "UPDATE t SET w = 'new' WHERE ctid IN (SELECT ctid FROM t WHERE f::text = '0' LIMIT 4);"
        "UPDATE t SET f = -f WHERE ctid IN (SELECT ctid FROM t WHERE f = 0 LIMIT 7);"
        "UPDATE t SET c = upper(c::text), l = upper(l) WHERE n::text = '1.0';"
        "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE n = 'NaN' OR n IS NULL LIMIT 25);"
        "INSERT INTO t (f) SELECT NULL FROM generate_series(1, 5)");
    follow();
    on_a(
        "UPDATE t SET n = n + 0.00; DELETE FROM t WHERE ctid IN (SELECT min(ctid) FROM t GROUP BY "
        "t::text)");
    follow();
}

TEST_F(DatabaseKeyless, LongValuesThatAreNotSentAgainAreKept) {
    on_a(
        "CREATE TABLE t (n int, big text, other text); ALTER TABLE t ALTER big SET STORAGE "
        "external, ALTER other SET STORAGE external");
    start_capture();
    copy();
    on_a(
        "INSERT INTO t SELECT i % 3, repeat(i::text, 3000), repeat('y', 5000) FROM "
        "generate_series(1, 40) i");
    on_a("UPDATE t SET n = n + 1; UPDATE t SET n = n * 2, other = 'short'");
    follow();
    on_a("UPDATE t SET n = n - 1; UPDATE t SET big = other || n WHERE n = 1; UPDATE t SET n = 7");
    follow();
}

TEST_F(DatabaseKeyless, ChildrenPartitionsAndIdentitiesAreTakenAlone) {
    on_a(
        "CREATE TABLE parent (a int, b text); CREATE TABLE child (c int) INHERITS (parent);"
        "CREATE TABLE parts (a int, b text) PARTITION BY LIST (a);"
        "CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);"
        "CREATE TABLE part_2 PARTITION OF parts DEFAULT;"
        "CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, v text)");
    start_capture();
    copy();
    on_a(
        "INSERT INTO parent SELECT 1, 'x' FROM generate_series(1, 30);"
        "INSERT INTO child SELECT 1, 'x', 1 FROM generate_series(1, 30);"
        "INSERT INTO parts SELECT i % 3, 'x' FROM generate_series(1, 60) i;"
        "INSERT INTO numbered (v) SELECT 'v' FROM generate_series(1, 60)");
    follow();
    on_a(
        "DELETE FROM ONLY parent WHERE ctid IN (SELECT ctid FROM ONLY parent LIMIT 10);"
        "UPDATE parent SET b = 'y' WHERE random() < 0.5; DELETE FROM child WHERE b = 'y';"
        "UPDATE parts SET a = a + 1; DELETE FROM parts WHERE a = 3;"
        "UPDATE numbered SET id = DEFAULT WHERE id % 2 = 0; DELETE FROM numbered WHERE id < 10");
    follow();
}

TEST_F(DatabaseKeyless, ATableThatIsPartitionedOnlyHereLosesTheRightRows) {
    on_a("CREATE TABLE t (a int, b text)");
    start_capture();
    copy();
    on_b(
        "DROP TABLE t; CREATE TABLE t (a int, b text) PARTITION BY HASH (a); "
        "CREATE TABLE t_0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1)");
    on_a("INSERT INTO t SELECT i % 20, 'x' FROM generate_series(1, 100) i");
    on_a(
        "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a < 12 LIMIT 30);"
        "UPDATE t SET a = a + 1 WHERE a % 3 = 0");
    catch_up();
    const std::string rows = "SELECT t.*, count(*) FROM t GROUP BY a, b ORDER BY 1, 2";
    EXPECT_EQ(on_b(rows), on_a(rows));
}

TEST_F(DatabaseKeyless, ColumnsThatOnlyThisSiteHasKeepTheirValues) {
    on_a("CREATE TABLE t (a int, b text)");
    on_b("CREATE TABLE t (a int, b text, here int)");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 40) i");
    catch_up();
    on_b("UPDATE t SET here = a");
    on_a("UPDATE t SET b = 'y'; DELETE FROM t WHERE a > 35");
    catch_up();
    EXPECT_EQ(on_b("SELECT count(*), bool_and(here = a AND b = 'y') FROM t"), "35|t");
}

TEST_F(DatabaseKeyless, WideTablesAreNoExcuse) {
    std::string columns;
    std::string values;
    for (int i = 0; i < 1000; ++i) {
        columns += (i == 0 ? "c" : ", c") + std::to_string(i) + " int";
        values += (i == 0 ? "i * " : ", i * ") + std::to_string(i);
    }
    on_a("CREATE TABLE t (" + columns + ")");
    start_capture();
    copy();
    on_a("INSERT INTO t SELECT " + values + " FROM generate_series(1, 30) i");
    on_a("UPDATE t SET c999 = NULL WHERE c1 > 5; DELETE FROM t WHERE c1 > 20");
    follow();
}

TEST_F(DatabaseKeyless, ManyChangesLookAtTheTableOnceForEachBatch) {
    on_a(
        "CREATE TABLE t (a int, b text, at timestamptz DEFAULT now());"
        "INSERT INTO t SELECT i / 2, md5((i / 2)::text) FROM generate_series(1, 20000) i");
    start_capture();
    copy();
    restart_secondary();
    on_b("SELECT pg_stat_reset()");
    on_a("UPDATE t SET b = b || 'x'");
    on_a("UPDATE t SET a = a + 1 WHERE a % 2 = 0");
    on_a("DELETE FROM t WHERE a % 3 = 0");
    // As few as these, too.
    on_a("DELETE FROM t WHERE a IN (1, 5)");
    catch_up();
    EXPECT_LT(rows_scanned("t"), 20 * 20000);
    expect_equal();
}

TEST_F(DatabaseKeyless, AnIndexHelpsWhereOneRowIsLookedFor) {
    on_a(
        "CREATE TABLE t (a int NOT NULL, b text); CREATE INDEX ON t (a);"
        "INSERT INTO t SELECT i / 3, md5((i / 3)::text) FROM generate_series(1, 20000) i;"
        "CREATE TABLE u (a int, b text); CREATE INDEX ON u (a); INSERT INTO u TABLE t");
    start_capture();
    copy();
    on_b("VACUUM ANALYZE");
    restart_secondary();
    on_b("SELECT pg_stat_reset()");
    for (int i = 0; i < 5; ++i) {
        const std::string n = std::to_string(100 + i);
        on_a("UPDATE t SET b = 'one' WHERE a = " + n + "; DELETE FROM t WHERE a = 1" + n);
        catch_up();
    }
    on_a("DELETE FROM u WHERE a = 3");
    catch_up();
    rows_scanned("u");
    EXPECT_EQ(on_b("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 't'"), "0");
    on_a("UPDATE t SET b = 'some' WHERE a < 2020; UPDATE t SET a = a + 1 WHERE a > 3000");
    follow();
}

TEST_F(DatabaseKeyless, ARowThatIsMissingIsFoundAmongManyByHalving) {
    on_a(
        "CREATE TABLE t (a int, b text);"
        "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 20000) i");
    start_capture();
    copy();
    on_b("DELETE FROM t WHERE a = 7777; SELECT pg_stat_reset()");
    restart_secondary();
    on_a("UPDATE t SET b = 'y' WHERE a <= 9000");
    const std::string error = error_of([&] { catch_up(); }, Reaction::Stop);
    EXPECT_THAT(error, HasSubstr("public.t, key (a = 7777, b = x): 0 rows"));
    EXPECT_LT(rows_scanned("t"), 100 * 20000);
    on_b("INSERT INTO t VALUES (7777, 'x')");
    follow();
}

TEST_F(DatabaseKeyless, UniqueValuesThatMayBeNullOrWaitAreTraded) {
    on_a(
        "CREATE TABLE n (u int UNIQUE, v text); CREATE TABLE d (u int NOT NULL, v text, UNIQUE (u) "
        "DEFERRABLE INITIALLY DEFERRED); INSERT INTO n SELECT nullif(i, 30), 'v' FROM "
        "generate_series(1, 60) i; INSERT INTO d SELECT i, 'v' FROM generate_series(1, 60) i");
    start_capture();
    copy();
    on_a(
        "UPDATE d SET u = 61 - u; BEGIN; UPDATE n SET u = -u; UPDATE n SET u = 61 + u; UPDATE d "
        "SET u = u + 1; COMMIT; DELETE FROM n WHERE u IS NULL; INSERT INTO n VALUES (NULL, 'v'), "
        "(NULL, 'v')");
    follow();
}

}  // namespace
}  // namespace antipode::test
