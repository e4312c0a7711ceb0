// The structure of both sites, compared at barriers; pg_dump is the judge.
#include "tests/support/database_structure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::test {
namespace {

struct Change {
    std::string sql;
    std::vector<std::string> objects;
};

/// Made on the secondary alone each is found and named; made on the primary, too, nothing is left.
TEST_F(DatabaseStructure, EveryKindOfChangeIsFoundAndNamed) {
    on_a(structure_of_every_kind);
    on_b("CREATE ROLE reader; CREATE ROLE writer");
    start_capture();
    copy();
    on_a("INSERT INTO parts VALUES (1, 'the copy is passed')");
    catch_up();
    ASSERT_EQ(dumps_differ(), "");
    ASSERT_THAT(differing(), testing::IsEmpty());
    EXPECT_GT(read(a_).size(), 60U);
    const std::vector<Change> all = {
        {"ALTER TABLE items ALTER p SET DEFAULT 7", {"table public.child", "table public.items"}},
        {"ALTER TABLE child ALTER more SET NOT NULL", {"table public.child"}},
        {"ALTER TABLE parts RENAME v TO w", {"table public.parts", "table public.parts_0"}},
        {"ALTER TABLE items SET (fillfactor = 70)", {"table public.items"}},
        {"ALTER TABLE items ALTER name SET STORAGE external",
         {"table public.child", "table public.items"}},
        {"ALTER TABLE items FORCE ROW LEVEL SECURITY", {"table public.items"}},
        {"ALTER TABLE items ADD CONSTRAINT low CHECK (p < 100) NOT VALID",
         {"constraint low on public.child", "constraint low on public.items"}},
        {"DROP INDEX by_name", {"index public.by_name"}},
        {"CREATE UNIQUE INDEX odd ON \"Odd schema\".\"Täble\" (\"a b\" DESC)",
         {"index \"Odd schema\".odd"}},
        {"ALTER TYPE mood ADD VALUE 'happy' BEFORE 'ok'", {"type public.mood"}},
        {"ALTER DOMAIN positive SET DEFAULT 5", {"type public.positive"}},
        {"ALTER TYPE pair ADD ATTRIBUTE c int", {"type public.pair"}},
        {"ALTER SEQUENCE counter INCREMENT 6 MAXVALUE 1000", {"sequence public.counter"}},
        {"ALTER SEQUENCE \"Odd schema\".\"Täble_serial_seq\" OWNED BY NONE",
         {"sequence \"Odd schema\".\"Täble_serial_seq\""}},
        {"CREATE OR REPLACE VIEW named AS SELECT id, name || '!' AS name FROM items",
         {"view public.named"}},
        {"DROP RULE no_delete ON named", {"rule no_delete on public.named"}},
        {"CREATE OR REPLACE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i + i'",
         {"function public.twice(integer)"}},
        {"ALTER FUNCTION note() SECURITY DEFINER", {"function public.note()"}},
        {"ALTER TABLE items DISABLE TRIGGER noted", {"trigger noted on public.items"}},
        {"DROP TRIGGER noted ON items", {"trigger noted on public.items"}},
        {"ALTER POLICY own ON items USING (p > 1)", {"policy own on public.items"}},
        {"ALTER POLICY own ON items TO writer", {"policy own on public.items"}},
        {"GRANT UPDATE (name) ON items TO writer", {"rights on table column public.items.name"}},
        {"REVOKE SELECT ON items FROM reader", {"rights on table public.items"}},
        {"REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC",
         {"rights on function public.twice(integer)"}},
        {"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO writer",
         {"default rights of postgres in public for r"}},
        {"ALTER TABLE parts_0 OWNER TO writer",
         {"owner of table public.parts_0", "rights on table public.parts_0"}},
        {"COMMENT ON FUNCTION twice(int) IS 'doubles'",
         {"comment on function public.twice(integer)"}},
        {"COMMENT ON COLUMN items.name IS 'another'",
         {"comment on table column public.items.name"}},
        {"COMMENT ON SCHEMA \"Odd schema\" IS 'even'", {"comment on schema \"Odd schema\""}},
        {"DROP STATISTICS of_items", {"statistics public.of_items"}},
        {"ALTER TABLE parts DETACH PARTITION parts_0", {"table public.parts_0"}},
        {"DROP OPERATOR ~~~ (int, int)", {"operator public.~~~(integer,integer)"}},
        {"DROP MATERIALIZED VIEW counted",
         {"materialized view public.counted", "owner of materialized view public.counted",
          "rights on materialized view public.counted"}},
    };
    for (const Change& change : all) {
        on_b(change.sql);
        EXPECT_NE(dumps_differ(), "") << change.sql;
        EXPECT_THAT(differing(), testing::UnorderedElementsAreArray(change.objects)) << change.sql;
        on_a(change.sql);
        EXPECT_EQ(dumps_differ(), "") << change.sql;
        EXPECT_THAT(differing(), testing::IsEmpty()) << change.sql;
    }
}

TEST_F(DatabaseStructure, CommentsOnLargeObjectsAreNoneOfIt) {
    on_a("SELECT lo_create(4711); COMMENT ON LARGE OBJECT 4711 IS 'not replicated'");
    EXPECT_THAT(differing(), testing::IsEmpty());
}

TEST_F(DatabaseStructure, IsComparedAtBarriersAndTellsBothDefinitions) {
    on_a(structure_of_every_kind);
    on_b("CREATE ROLE reader; CREATE ROLE writer");
    start_capture();
    copy();
    on_a("INSERT INTO parts VALUES (1, 'the copy is passed')");
    catch_up();
    secondary::StructureReport report = check();
    EXPECT_EQ(report.undecided, "");
    EXPECT_TRUE(report.differences.empty());
    EXPECT_EQ(report.objects, read(a_).size());
    on_b("ALTER SEQUENCE counter INCREMENT 7; CREATE VIEW mine AS SELECT 1 AS one");
    report = check();
    EXPECT_EQ(report.undecided, "");
    ASSERT_EQ(report.differences.size(), 4U);
    using Kind = secondary::StructureDifference::Kind;
    EXPECT_EQ(report.differences[0].kind, Kind::Changed);
    EXPECT_EQ(report.differences[0].object, "sequence public.counter");
    EXPECT_THAT(report.differences[0].there, testing::HasSubstr("increment 5 "));
    EXPECT_THAT(report.differences[0].here, testing::HasSubstr("increment 7 "));
    EXPECT_EQ(report.differences[3].kind, Kind::Extra);
    EXPECT_EQ(report.differences[3].object, "view public.mine");
    EXPECT_EQ(report.differences[3].there, "");
}

}  // namespace
}  // namespace antipode::test
