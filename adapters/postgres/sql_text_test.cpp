#include "adapters/postgres/sql_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

using testing::ElementsAre;

SqlStatement only(const std::string& sql) {
    const auto statements = split_sql(sql);
    EXPECT_TRUE(statements && statements->size() == 1) << sql;
    return statements && !statements->empty() ? statements->front() : SqlStatement{};
}

TEST(SqlText, SplitsScriptsByBytes) {
    const auto statements = split_sql(
        "SELECT 'ü;' /* ; */; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1; "
        "SELECT 2$$ ;\n-- ö\nDROP TABLE \"ä;\"");
    ASSERT_TRUE(statements);
    ASSERT_EQ(statements->size(), 3U);
    EXPECT_EQ((*statements)[0].tag, "");
    EXPECT_EQ((*statements)[1].sql,
              "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1; SELECT 2$$");
    EXPECT_EQ((*statements)[2].sql, "-- ö\nDROP TABLE \"ä;\"");
    EXPECT_FALSE(split_sql("CREATE TABEL t"));
}

TEST(SqlText, KnowsCommandTags) {
    const std::vector<std::pair<std::string, std::string>> tags = {
        {"CREATE TABLE t (id int)", "CREATE TABLE"},
        {"ALTER TABLE t OWNER TO x", "ALTER TABLE"},
        {"ALTER SEQUENCE s OWNER TO x", "ALTER SEQUENCE"},
        {"ALTER FUNCTION f() OWNER TO x", "ALTER FUNCTION"},
        {"ALTER TYPE t SET SCHEMA s", "ALTER TYPE"},
        {"ALTER VIEW v RENAME a TO b", "ALTER VIEW"},
        {"ALTER TABLE t RENAME CONSTRAINT a TO b", "ALTER TABLE"},
        {"ALTER TRIGGER a ON t RENAME TO b", "ALTER TRIGGER"},
        {"ALTER MATERIALIZED VIEW m OWNER TO x", "ALTER MATERIALIZED VIEW"},
        {"CREATE AGGREGATE a(int) (sfunc = f, stype = int)", "CREATE AGGREGATE"},
        {"CREATE TEXT SEARCH CONFIGURATION c (COPY = simple)", "CREATE TEXT SEARCH CONFIGURATION"},
        {"DROP POLICY p ON t", "DROP POLICY"},
        {"DROP OPERATOR CLASS c USING btree", "DROP OPERATOR CLASS"},
        {"CREATE MATERIALIZED VIEW m AS SELECT 1", "CREATE MATERIALIZED VIEW"},
        {"SELECT 1 INTO t", "SELECT INTO"},
        {"GRANT SELECT ON t TO x", "GRANT"},
        {"REVOKE SELECT ON t FROM x", "REVOKE"},
        {"GRANT x TO y", ""},
        {"GRANT CONNECT ON DATABASE d TO x", ""},
        {"COMMENT ON DATABASE d IS 'x'", ""},
        {"COMMENT ON COLUMN t.c IS 'x'", "COMMENT"},
        {"CREATE ROLE x", ""},
    };
    for (const auto& [sql, tag] : tags) {
        EXPECT_EQ(only(sql).tag, tag) << sql;
    }
}

TEST(SqlText, TakesConcurrentlyAwayAndNothingElse) {
    const auto plain = [](const std::string& sql) {
        const SqlStatement statement = only(sql);
        EXPECT_TRUE(statement.concurrent) << sql;
        return without_concurrently(statement).value_or("none");
    };
    EXPECT_EQ(plain("CREATE INDEX /* concurrently */ CONCURRENTLY i ON t (\"concurrently\")"),
              "CREATE INDEX /* concurrently */  i ON t (\"concurrently\")");
    EXPECT_EQ(plain("DROP INDEX concurrently i"), "DROP INDEX  i");
    EXPECT_EQ(plain("ALTER TABLE t DETACH PARTITION p CONCURRENTLY"),
              "ALTER TABLE t DETACH PARTITION p ");
    EXPECT_FALSE(only("REFRESH MATERIALIZED VIEW CONCURRENTLY m").concurrent);
}

TEST(SqlText, MakesTablesWithoutTheirRows) {
    const auto empty = [](const std::string& sql) {
        return without_data(only(sql)).value_or("none");
    };
    EXPECT_EQ(empty("CREATE TABLE t AS SELECT 1 AS data -- all"),
              "CREATE TABLE t AS SELECT 1 AS data -- all\nWITH NO DATA");
    EXPECT_EQ(empty("CREATE TABLE t AS SELECT 1 AS a WITH DATA"),
              "CREATE TABLE t AS SELECT 1 AS a WITH NO DATA");
    EXPECT_EQ(empty("CREATE TABLE t AS SELECT 1 WITH NO DATA"),
              "CREATE TABLE t AS SELECT 1 WITH NO DATA");
    EXPECT_EQ(empty("SELECT 'into' AS a INTO UNLOGGED s.\"T \"\"x\" FROM b LIMIT 1"),
              "CREATE UNLOGGED TABLE s.\"T \"\"x\" AS SELECT 'into' AS a  FROM b LIMIT 1\n"
              "WITH NO DATA");
    EXPECT_TRUE(only("CREATE TEMP TABLE t AS SELECT 1").temporary);
    EXPECT_TRUE(only("SELECT 1 INTO TEMP t").temporary);
}

/// What a client sent may hold more than what the server took: this is refused for its depth.
TEST(SqlText, ReadsDeepExpressions) {
    std::string sum = "f(1)";
    for (int i = 0; i < 40'000; ++i) {
        sum += "+1";
    }
    const SqlStatement statement = only("ALTER TABLE t ALTER v TYPE int USING " + sum);
    EXPECT_THAT(statement.using_functions, ElementsAre("f"));
    const auto statements = split_sql("CREATE TABLE a (id int); COMMIT; SELECT " + sum);
    ASSERT_TRUE(statements);
    EXPECT_EQ(statements->size(), 3U);
}

TEST(SqlText, ReadsLargeTextsThatAreFlat) {
    std::string rows = "INSERT INTO t VALUES ('" + std::string(30'000'000, 'x') + "')";
    for (int i = 0; i < 100'000; ++i) {
        rows += ", (" + std::to_string(i) + ", 'x')";
    }
    const auto statements = split_sql("CREATE TABLE t (id int); " + rows);
    ASSERT_TRUE(statements);
    EXPECT_EQ(statements->size(), 2U);
}

TEST(SqlText, DoesNotUnderstandWhatIsNoUtf8) {
    EXPECT_FALSE(split_sql("CREATE TABLE \"\xe9t\xe9\" (id int)"));
}

TEST(SqlText, NamesAddedColumns) {
    const SqlStatement statement =
        only("ALTER TABLE t ADD a int, ADD COLUMN IF NOT EXISTS \"B b\" text, DROP c, SET LOGGED");
    EXPECT_THAT(statement.added_columns, ElementsAre("a", "B b"));
    EXPECT_TRUE(statement.sets_logged);
}

}  // namespace
}  // namespace antipode::postgres
