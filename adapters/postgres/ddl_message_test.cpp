#include "adapters/postgres/ddl_message.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace antipode::postgres {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

Json message(const std::string& tag, const std::string& text, int nth = 1) {
    return {{"tag", tag},
            {"text", text},
            {"role", "app"},
            {"nth", nth},
            {"settings", {{"search_path", "a, b"}}},
            {"objects", {"table public.t"}}};
}

DdlStatement read(const Json& json) {
    const auto ddl = parse_ddl_message(json.dump());
    EXPECT_TRUE(ddl);
    return ddl.value_or(DdlStatement{});
}

TEST(DdlMessage, FindsTheStatementThatFired) {
    const std::string script =
        "CREATE TABLE a (id int); INSERT INTO a VALUES (1); CREATE INDEX ON a (id); "
        "GRANT CONNECT ON DATABASE d TO x; GRANT SELECT ON a TO x; CREATE TABLE b (id int);";
    EXPECT_EQ(read(message("CREATE TABLE", script)).sql, "CREATE TABLE a (id int)");
    EXPECT_EQ(read(message("CREATE TABLE", script, 2)).sql, "CREATE TABLE b (id int)");
    EXPECT_EQ(read(message("CREATE TABLE", script, 3)).sql, "CREATE TABLE a (id int)");
    EXPECT_EQ(read(message("GRANT", script)).sql, "GRANT SELECT ON a TO x");
    Json placed = message("CREATE INDEX", script);
    placed["place"] = 3;
    EXPECT_EQ(read(placed).sql, "CREATE INDEX ON a (id)");
    EXPECT_THAT(read(message("DROP VIEW", script)).problem, HasSubstr("cannot be found"));
    EXPECT_THAT(read(message("CREATE TABLE", "SELECT f()")).problem, HasSubstr("cannot be found"));
}

TEST(DdlMessage, CarriesRoleSettingsAndObjects) {
    const DdlStatement ddl = read(message("CREATE TABLE", "CREATE TABLE t ()"));
    EXPECT_EQ(ddl.role, "app");
    ASSERT_EQ(ddl.settings.size(), 1U);
    EXPECT_EQ(ddl.settings[0].name, "search_path");
    EXPECT_EQ(ddl.settings[0].value, "a, b");
    EXPECT_EQ(ddl.objects, std::vector<std::string>{"table public.t"});
    EXPECT_EQ(ddl.problem, "");
}

TEST(DdlMessage, LeavesTemporaryTablesOut) {
    EXPECT_FALSE(
        parse_ddl_message(message("CREATE TABLE AS", "CREATE TEMP TABLE t AS SELECT 1").dump()));
}

TEST(DdlMessage, FillsAddedColumnsAndRefusesThoseThatDifferOnEachServer) {
    Json json = message("ALTER TABLE", "ALTER TABLE t ADD made timestamptz DEFAULT now()");
    const auto fill = [](const std::string& column) {
        return Json{{"schema", "public"}, {"table", "t"}, {"column", column}, {"value", "v"}};
    };
    json["fills"] = {fill("made"), fill("older")};
    json["unsafe"] = {"id"};
    json["filled"] = true;
    const DdlStatement ddl = read(json);
    EXPECT_EQ(ddl.problem, "");
    ASSERT_EQ(ddl.fills.size(), 1U);
    EXPECT_EQ(ddl.fills[0].column, "made");
    json["unsafe"] = {"id", "made"};
    EXPECT_THAT(read(json).problem, HasSubstr("\"made\""));
    // An older trigger does not say which tables.
    EXPECT_TRUE(read(json).copies.empty());
    json["tables"] = {{{"schema", "public"}, {"table", "t"}}};
    EXPECT_EQ(read(json).copies, (std::vector<TableName>{{"public", "t"}}));
    json["filled"] = false;
    EXPECT_EQ(read(json).problem, "");
    EXPECT_TRUE(read(json).copies.empty());
}

TEST(DdlMessage, SeesWhatRewritesRowsDifferentlyOnEachServer) {
    const auto problem = [](const std::string& text) {
        Json json = message("ALTER TABLE", text);
        json["filled"] = true;
        json["changing"] = {"random", "now", "Odd f"};
        json["tables"] = {{{"schema", "public"}, {"table", "t"}}};
        const DdlStatement ddl = read(json);
        EXPECT_EQ(ddl.problem.empty(), ddl.copies.empty());
        return ddl.problem;
    };
    EXPECT_THAT(problem("ALTER TABLE t ALTER a TYPE int USING 1 + RANDOM()::int"),
                HasSubstr("random()"));
    EXPECT_THAT(
        problem("ALTER TABLE t ALTER a TYPE int, ALTER b TYPE text USING lower(x.\"Odd f\"())"),
        HasSubstr("Odd f()"));
    EXPECT_THAT(problem("ALTER TABLE t ALTER a TYPE date USING current_date"), HasSubstr("time"));
    EXPECT_THAT(problem("ALTER TABLE t SET LOGGED"), HasSubstr("unlogged"));
    EXPECT_EQ(problem("ALTER TABLE t ALTER a TYPE text USING lower(a) || 'random()'"), "");
    EXPECT_EQ(problem("ALTER TABLE t ADD CHECK (a < random())"), "");
    EXPECT_EQ(problem("ALTER TABLE t ALTER a TYPE bigint; SELECT random()"), "");
}

TEST(DdlMessage, NeverThrows) {
    EXPECT_THAT(parse_ddl_message("{")->problem, HasSubstr("malformed"));
    EXPECT_THAT(parse_ddl_message("[]")->problem, HasSubstr("malformed"));
    EXPECT_THAT(parse_ddl_message(R"({"settings": 3, "objects": [1]})")->problem,
                HasSubstr("malformed"));
    EXPECT_THAT(parse_ddl_message(std::string(5 << 20, ' '))->problem, HasSubstr("4 MiB"));
}

}  // namespace
}  // namespace antipode::postgres
