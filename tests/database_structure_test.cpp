// The structure of both sites, compared at barriers; pg_dump is the judge.
#include <algorithm>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/structure.hpp"
#include "secondary/database/structure_check.hpp"
#include "tests/support/database_meanwhile.hpp"

namespace antipode::test {
namespace {

constexpr const char* structure_of_every_kind = R"sql(
    CREATE ROLE reader; CREATE ROLE writer;
    CREATE EXTENSION hstore; CREATE SCHEMA "Odd schema"; COMMENT ON SCHEMA "Odd schema" IS 'odd';
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE span AS RANGE (SUBTYPE = float8);
    CREATE SEQUENCE counter INCREMENT 5;
    CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL
        DEFAULT 'x', m mood, p positive, twice int GENERATED ALWAYS AS (p * 2) STORED,
        h hstore, parent bigint REFERENCES items, UNIQUE (name, m));
    COMMENT ON COLUMN items.name IS 'its name'; GRANT SELECT ON items TO reader;
    CREATE INDEX by_name ON items (lower(name)) WHERE p > 1;
    CREATE STATISTICS of_items ON name, p FROM items;
    CREATE TABLE "Odd schema"."Täble" (serial serial, "a b" int DEFAULT nextval('counter'));
    CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE child (more int) INHERITS (items);
    CREATE VIEW named AS SELECT id, name FROM items;
    CREATE RULE no_delete AS ON DELETE TO named DO INSTEAD NOTHING;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM items;
    CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 2';
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
    CREATE TRIGGER noted BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note();
    ALTER TABLE items ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON items FOR SELECT TO reader USING (p > 0);
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
)sql";

struct Change {
    std::string sql;
    std::vector<std::string> objects;
};

class DatabaseStructure : public DatabaseMeanwhile {
  protected:
    static std::string schema_of(const PostgresServer& server) {
        std::string kept;
        std::istringstream lines(server.dump("app", {"--schema-only", "--exclude-schema=antipode",
                                                     "--no-publications", "--restrict-key=x"}));
        for (std::string line; std::getline(lines, line);) {
            // A server's own.
            const bool own = line.find("REPLICA IDENTITY") != std::string::npos;
            kept += line.empty() || line.starts_with("--") || own ? "" : line + "\n";
        }
        return kept;
    }
    /// The lines of one side's pg_dump that the other's lacks.
    std::string dumps_differ() const {
        const auto lines = [](const std::string& text) {
            std::multiset<std::string> all;
            std::istringstream in(text);
            for (std::string line; std::getline(in, line);) {
                all.insert(line);
            }
            return all;
        };
        const auto a = lines(schema_of(a_));
        const auto b = lines(schema_of(b_));
        std::vector<std::string> only;
        std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                      std::back_inserter(only));
        std::string text;
        for (const std::string& line : only) {
            text += line + "\n";
        }
        return text;
    }
    static Structure read(const PostgresServer& server) {
        postgres::Connection connection(server.url("app"), "test");
        return postgres::read_structure(connection);
    }
    std::vector<std::string> differing() const {
        std::vector<std::string> objects;
        for (const auto& one : secondary::compare_structures(read(a_), read(b_))) {
            objects.push_back(one.object);
        }
        return objects;
    }
    secondary::StructureReport check() {
        return meanwhile([&] {
            DirectBulk bulk(primary_->bulk);
            secondary::StructureCheck checking({.store = store}, bulk, secondary_->reader,
                                               secondary_->barriers);
            return checking.run(stop_.get_token());
        });
    }
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
