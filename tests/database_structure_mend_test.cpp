// A structure that was changed on the secondary alone is made as it is on the primary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "secondary/database/structure_mend.hpp"
#include "tests/support/database_structure.hpp"

namespace antipode::test {
namespace {

using secondary::StructureMended;
using secondary::StructureReport;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* rows = R"sql(
    INSERT INTO items (name, m, p) SELECT 'n' || i, 'ok', i FROM generate_series(1, 50) i;
    INSERT INTO "Odd schema"."Täble" ("a b") SELECT i FROM generate_series(1, 20) i;
    INSERT INTO parts SELECT i, 'v' FROM generate_series(0, 9) i;
    INSERT INTO child (id, name, m, p, more) VALUES (1000, 'c', 'sad', 1, 5))sql";

class DatabaseStructureMend : public DatabaseStructure {
  protected:
    void begin() {
        on_a(structure_of_every_kind);
        on_b("CREATE ROLE reader; CREATE ROLE writer");
        on_a(rows);
        start_capture();
        copy();
        on_a("UPDATE parts SET v = 'the copy is passed' WHERE id = 1");
        catch_up();
        ASSERT_EQ(dumps_differ(), "");
        expect_equal();
    }
    /// Captures and applies, and copies what is to be copied again, as the receiver does.
    template <typename Use>
    auto meanwhile(Use use) {
        stop_ = {};
        auto result = std::async(std::launch::async, std::move(use));
        try {
            while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
                publish(primary_->capture.poll(milliseconds(5)));
                apply_or_copy();
            }
        } catch (...) {
            secondary_->barriers.forget();
            stop_.request_stop();
            throw;
        }
        return result.get();
    }
    void apply_or_copy() {
        try {
            const Position position = secondary_->apply.position().position;
            std::vector<const protocol::Event*> events;
            for (const protocol::Event& event : stream_) {
                if (event.position > position) {
                    events.push_back(&event);
                }
            }
            secondary_->apply.apply(events);
            primary_->capture.confirm(secondary_->apply.position().lsn);
        } catch (const Error& error) {
            if (error.reaction() != Reaction::Retry) {
                throw;
            }
            problems_ += error.describe() + "\n";
            copy();
        }
    }
    StructureReport check() {
        return meanwhile([&] {
            DirectBulk bulk(primary_->bulk);
            secondary::StructureCheck checking({.store = store}, bulk, secondary_->reader,
                                               secondary_->barriers);
            return checking.run(stop_.get_token());
        });
    }
    /// `may_go`: what of it holds data and is only here is dropped.
    StructureMended mend(const StructureReport& found, const StructureReport& may_go = {}) {
        return meanwhile([&] {
            DirectBulk bulk(primary_->bulk);
            std::set<std::string> may_drop;
            for (const auto& difference : may_go.differences) {
                may_drop.insert(difference.object);
            }
            secondary::StructureMend mending({.store = store, .may_drop = may_drop}, bulk,
                                             secondary_->barriers);
            return mending.run(found.differences, stop_.get_token());
        });
    }
    static std::string describe(const StructureMended& mended) {
        std::string text = mended.problem;
        for (const auto& [object, left] : mended.edited.left) {
            text += object + ": " + left.reason + " [" + left.by_hand + "]\n";
        }
        return text;
    }
    /// As `antipode database check --mend` does, whose rounds go on while one gets further.
    std::string make_equal(bool drop_extra = false) {
        std::string left;
        for (int round = 0; round < 4; ++round) {
            const StructureReport found = check();
            EXPECT_EQ(found.undecided, "");
            if (found.differences.empty()) {
                return "";
            }
            left = describe(mend(found, drop_extra ? found : StructureReport()));
        }
        return left + problems_;
    }

    /// Each change is made on the secondary alone, and then undone by what is made there.
    void expect_made(const std::vector<std::string>& changes) {
        begin();
        for (const std::string& change : changes) {
            SCOPED_TRACE(change);
            on_b("SET session_replication_role = replica; " + change);
            EXPECT_NE(dumps_differ(), "");
            EXPECT_EQ(make_equal(), "");
            EXPECT_EQ(dumps_differ(), "");
            expect_equal();
        }
    }

    std::string problems_;
};

TEST_F(DatabaseStructureMend, ColumnsConstraintsAndIndexesAreMadeAsTheyAreThere) {
    expect_made({
        "ALTER TABLE items ALTER p SET DEFAULT 7",
        "ALTER TABLE items ALTER name DROP DEFAULT",
        "ALTER TABLE items ALTER name DROP NOT NULL",
        "ALTER TABLE child ALTER more SET NOT NULL",
        "ALTER TABLE items SET (fillfactor = 70)",
        "ALTER TABLE items ALTER name SET STORAGE external",
        "ALTER TABLE items ALTER id DROP IDENTITY",
        "ALTER TABLE items ALTER id SET GENERATED BY DEFAULT",
        "ALTER TABLE items FORCE ROW LEVEL SECURITY",
        "ALTER TABLE items DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE items ADD CONSTRAINT low CHECK (p < 100) NOT VALID",
        "ALTER TABLE items DROP CONSTRAINT items_name_m_key",
        "ALTER TABLE items DROP CONSTRAINT items_parent_fkey",
        "ALTER TABLE items DROP CONSTRAINT items_pkey CASCADE",
        "ALTER DOMAIN positive DROP CONSTRAINT positive_check",
        "DROP INDEX by_name",
        "DROP INDEX by_name; CREATE INDEX by_name ON items (name)",
        "DROP INDEX of_parts",
        "DROP INDEX of_parts; CREATE INDEX parts_0_id_idx ON parts_0 (id DESC)",
        "DROP INDEX of_parts; CREATE INDEX of_parts ON parts (v DESC)",
        "DROP INDEX of_parts; CREATE INDEX of_parts ON ONLY parts (id DESC)",
        "DROP INDEX of_parts; CREATE INDEX of_parts ON ONLY parts (v)",
        "CREATE INDEX more_of_parts ON parts (id, v)",
        "CREATE UNIQUE INDEX odd ON \"Odd schema\".\"Täble\" (\"a b\" DESC)",
    });
}

TEST_F(DatabaseStructureMend, ViewsFunctionsTriggersAndPoliciesAreMadeAsTheyAreThere) {
    expect_made({
        "ALTER DOMAIN positive SET DEFAULT 5",
        "ALTER SEQUENCE counter INCREMENT 6 MAXVALUE 1000",
        "ALTER SEQUENCE \"Odd schema\".\"Täble_serial_seq\" OWNED BY NONE",
        "CREATE OR REPLACE VIEW named AS SELECT id, name || '!' AS name FROM items",
        "DROP VIEW named",
        "DROP VIEW named; CREATE VIEW named AS SELECT name FROM items",
        "CREATE VIEW mine AS SELECT 1 AS one; CREATE VIEW upon AS SELECT * FROM mine",
        "DROP RULE no_delete ON named",
        "DROP MATERIALIZED VIEW counted",
        "CREATE OR REPLACE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i + i'",
        "DROP FUNCTION twice(int); CREATE FUNCTION twice(j int) RETURNS text LANGUAGE sql AS "
        "'SELECT ''x'''",
        "DROP FUNCTION note() CASCADE",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION note() SECURITY DEFINER",
        "ALTER TABLE items DISABLE TRIGGER noted",
        "DROP TRIGGER noted ON items",
        "CREATE TRIGGER mine BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION note()",
        "ALTER POLICY own ON items USING (p > 1)",
        "ALTER POLICY own ON items TO writer",
        "DROP POLICY own ON items",
    });
}

TEST_F(DatabaseStructureMend, RightsOwnersAndCommentsAreMadeAsTheyAreThere) {
    expect_made({
        "GRANT UPDATE (name) ON items TO writer",
        "REVOKE SELECT ON items FROM reader",
        "GRANT ALL ON items TO writer WITH GRANT OPTION",
        "REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO writer",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM reader",
        "ALTER TABLE parts_0 OWNER TO writer",
        "ALTER FUNCTION note() OWNER TO writer",
        "COMMENT ON FUNCTION twice(int) IS 'doubles'",
        "COMMENT ON COLUMN items.name IS 'another'",
        "COMMENT ON SCHEMA \"Odd schema\" IS NULL",
        "DROP STATISTICS of_items",
        "ALTER TABLE parts DETACH PARTITION parts_0",
    });
}

TEST_F(DatabaseStructureMend, TablesWithoutTheirRowsAreCopiedAgain) {
    expect_made({
        "DROP TABLE \"Odd schema\".\"Täble\"",
        "ALTER TABLE \"Odd schema\".\"Täble\" DROP \"a b\"",
        "ALTER TABLE \"Odd schema\".\"Täble\" ALTER \"a b\" TYPE text",
        "ALTER TABLE \"Odd schema\".\"Täble\" DROP serial",
        "DROP TABLE parts_0",
        "DROP TABLE parts CASCADE",
        "DROP TABLE child",
        "DROP SCHEMA \"Odd schema\" CASCADE",
        "DROP SEQUENCE counter CASCADE",
    });
}

constexpr const char* only_here = R"sql(
    CREATE TABLE mine (id int PRIMARY KEY, v text); INSERT INTO mine VALUES (1, 'x');
    CREATE VIEW of_mine AS SELECT * FROM mine; ALTER TABLE parts ADD extra int DEFAULT 5;
    CREATE SEQUENCE own; CREATE TYPE colour AS ENUM ('red'))sql";

TEST_F(DatabaseStructureMend, WhatHoldsDataAndIsOnlyHereGoesWithTheOperatorsWordAlone) {
    begin();
    on_b(only_here);
    const StructureMended mended = mend(check());
    EXPECT_TRUE(mended.edited.done.contains("view public.of_mine")) << describe(mended);
    for (const char* object :
         {"table public.mine", "table public.parts", "sequence public.own", "type public.colour"}) {
        ASSERT_TRUE(mended.edited.left.contains(object)) << object << describe(mended);
        EXPECT_TRUE(mended.edited.left.at(object).holds_data) << object;
    }
    EXPECT_EQ(mended.edited.left.at("table public.parts").by_hand,
              "ALTER TABLE public.parts DROP COLUMN extra");
    for (const char* object : {"owner of table public.mine", "rights on table public.mine"}) {
        ASSERT_TRUE(mended.edited.left.contains(object)) << object << describe(mended);
        EXPECT_EQ(mended.edited.left.at(object).reason, "it goes with what it is of");
        EXPECT_EQ(mended.edited.left.at(object).by_hand, "");
    }
    EXPECT_EQ(on_b("SELECT v FROM mine"), "x");
    StructureReport listed = check();
    std::erase_if(listed.differences,
                  [](const auto& one) { return one.object == "table public.mine"; });
    on_b("CREATE TABLE later (id int)");
    mend(check(), listed);
    EXPECT_EQ(on_b("SELECT v FROM mine"), "x") << "the word was not for it";
    EXPECT_EQ(on_b("SELECT to_regclass('later'), to_regclass('own')"), "later|");
    EXPECT_EQ(make_equal(true), "");
    EXPECT_EQ(dumps_differ(), "");
}

TEST_F(DatabaseStructureMend, WhatMayGoTakesNothingWithItThatMayNot) {
    begin();
    on_b(
        "CREATE TABLE old (id int) PARTITION BY RANGE (id); CREATE TABLE heap (id int); "
        "CREATE TABLE row_of (id int PRIMARY KEY, h heap)");
    StructureReport listed = check();
    std::erase_if(listed.differences,
                  [](const auto& one) { return one.object == "table public.row_of"; });
    on_b(
        "CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM (0) TO (9); INSERT INTO old VALUES "
        "(1)");
    const StructureMended mended = mend(check(), listed);
    EXPECT_EQ(on_b("SELECT id FROM old"), "1") << describe(mended);
    EXPECT_EQ(on_b("SELECT count(h) FROM row_of"), "0") << describe(mended);
    EXPECT_THAT(describe(mended), HasSubstr("the column public.old_1.id would be lost"));
    EXPECT_EQ(make_equal(true), "");
    EXPECT_EQ(dumps_differ(), "");
}

TEST_F(DatabaseStructureMend, WhatCannotBeMadeIsNamedWithTheReasonAndHoldsUpNothingElse) {
    begin();
    on_a("CREATE ROLE elsewhere");  // roles are not replicated
    on_b("DROP AGGREGATE total (int); DROP INDEX by_name");
    on_a("GRANT SELECT ON parts TO elsewhere");
    const StructureMended mended = mend(check());
    EXPECT_EQ(mended.problem, "");
    EXPECT_TRUE(mended.edited.done.contains("index public.by_name")) << describe(mended);
    ASSERT_TRUE(mended.edited.left.contains("rights on table public.parts")) << describe(mended);
    const auto& rights = mended.edited.left.at("rights on table public.parts");
    EXPECT_THAT(rights.reason, HasSubstr("role \"elsewhere\" does not exist"));
    EXPECT_THAT(rights.by_hand, HasSubstr("GRANT SELECT ON TABLE public.parts TO elsewhere"));
    ASSERT_TRUE(mended.edited.left.contains("function public.total(integer)"));
    EXPECT_THAT(mended.edited.left.at("function public.total(integer)").reason,
                HasSubstr("no way to make it by this command"));
    on_b("CREATE ROLE elsewhere; CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)");
    EXPECT_EQ(make_equal(), "");
    EXPECT_EQ(dumps_differ(), "");
}

/// A function that is its maker's would run with the daemon's rights.
TEST_F(DatabaseStructureMend, WhatCannotHaveItsOwnerIsNotMade) {
    begin();
    on_a(
        "CREATE ROLE elsewhere; GRANT CREATE ON SCHEMA public TO elsewhere; CREATE VIEW theirs AS "
        "SELECT 1 AS one; CREATE FUNCTION power() RETURNS int LANGUAGE sql SECURITY DEFINER AS "
        "'SELECT 1'; CREATE PROCEDURE act() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; ALTER "
        "VIEW theirs OWNER TO elsewhere; ALTER FUNCTION power() OWNER TO elsewhere; ALTER "
        "PROCEDURE act() OWNER TO elsewhere");
    const StructureMended mended = mend(check());
    for (const char* object :
         {"view public.theirs", "function public.power()", "function public.act()"}) {
        ASSERT_TRUE(mended.edited.left.contains(object)) << object << "\n" << describe(mended);
        EXPECT_THAT(mended.edited.left.at(object).reason,
                    HasSubstr("role \"elsewhere\" does not exist"));
    }
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_proc WHERE proname IN ('power', 'act') AND "
                   "pronamespace = 'public'::regnamespace"),
              "0");
    on_b("CREATE ROLE elsewhere; GRANT CREATE ON SCHEMA public TO elsewhere");
    EXPECT_EQ(make_equal(), "");
    EXPECT_EQ(dumps_differ(), "");
}

TEST_F(DatabaseStructureMend, AnExtensionIsNotMadeAnewForItsVersion) {
    begin();
    on_a("CREATE EXTENSION citext VERSION '1.5'");
    on_b("CREATE EXTENSION citext");
    const StructureMended mended = mend(check());
    ASSERT_TRUE(mended.edited.left.contains("extension citext")) << describe(mended);
    EXPECT_EQ(on_b("SELECT extversion FROM pg_extension WHERE extname = 'citext'"), "1.6");
}

/// The table has one column more than before once it is made anew: that must not make up for one of
/// another table.
TEST_F(DatabaseStructureMend, ATableThatIsMadeAnewTakesNoColumnOfAnotherWithIt) {
    begin();
    on_b(
        "SET session_replication_role = replica; "
        "ALTER TABLE \"Odd schema\".\"Täble\" DROP serial; CREATE TABLE mine (id int PRIMARY KEY, "
        "x \"Odd schema\".\"Täble\"); INSERT INTO mine SELECT 1, t FROM \"Odd schema\".\"Täble\" t "
        "LIMIT 1");
    const StructureMended mended = mend(check());
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_attribute WHERE attrelid = 'mine'::regclass AND "
                   "attname = 'x' AND NOT attisdropped"),
              "1")
        << describe(mended);
    EXPECT_TRUE(mended.edited.left.contains("table \"Odd schema\".\"Täble\"")) << describe(mended);
}

TEST_F(DatabaseStructureMend, WhereApplyStandsAtAMissingColumnItSaysHowToAddIt) {
    begin();
    on_b("ALTER TABLE parts DROP COLUMN v");
    on_a("UPDATE parts SET v = 'new' WHERE id = 3");
    // A statement that was prepared before fails first; the next try looks at the table.
    error_of([&] { catch_up(); }, Reaction::Stop);
    const std::string problem = error_of([&] { apply(); }, Reaction::Stop);
    const std::string sql = "ALTER TABLE \"public\".\"parts_0\" ADD COLUMN \"v\" text";
    EXPECT_THAT(problem, HasSubstr("has no column \"v\" on this site (" + sql + ")"));
    EXPECT_THAT(problem, HasSubstr("antipode database check --mend"));
    on_b("ALTER TABLE parts ADD COLUMN v text");  // one of a partition's comes with its parent
    catch_up();
    EXPECT_EQ(make_equal(), "");
    EXPECT_EQ(dumps_differ(), "");
}

/// The daemon is a superuser here, and the owner of a table is not. On the primary its code keeps
/// quiet.
TEST_F(DatabaseStructureMend, CodeOfAnOwnerCannotBecomeTheDaemon) {
    begin();
    const std::string theirs = R"(CREATE ROLE tenant; GRANT CREATE ON SCHEMA public TO tenant;
        CREATE DOMAIN number AS int; ALTER DOMAIN number OWNER TO tenant;
        CREATE TABLE theirs (id int PRIMARY KEY, n number); ALTER TABLE theirs OWNER TO tenant;
        CREATE FUNCTION attempt(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            EXECUTE what; EXECUTE 'ALTER ROLE tenant SUPERUSER'; RETURN true;
            EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
        CREATE FUNCTION climb(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('session_replication_role') = 'replica' THEN
                PERFORM public.attempt('RESET ROLE'); SET search_path = public;
                PERFORM public.attempt('SET SESSION AUTHORIZATION DEFAULT'); END IF;
            RETURN true; END $$;
        CREATE FUNCTION sure(i int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
            'BEGIN RETURN public.climb(i); END')";
    on_a(theirs);
    on_b("SET session_replication_role = replica; " + theirs);
    on_a("INSERT INTO theirs VALUES (1, 1)");
    catch_up();
    ASSERT_EQ(dumps_differ(), "");
    for (const char* change :
         {"ALTER TABLE theirs ADD CONSTRAINT sure CHECK (climb(id))",
          "ALTER TABLE theirs DROP CONSTRAINT sure; ALTER TABLE theirs ADD g boolean GENERATED "
          "ALWAYS AS (sure(id)) STORED",
          "ALTER TABLE theirs DROP g; ALTER DOMAIN number ADD CONSTRAINT sure CHECK (climb(value))",
          "CREATE TABLE more (id int, g boolean GENERATED ALWAYS AS (sure(1)) STORED) "
          "PARTITION BY LIST (id); ALTER TABLE more OWNER TO tenant",
          "CREATE MATERIALIZED VIEW seen AS SELECT climb(1); ALTER TABLE seen OWNER TO tenant"}) {
        SCOPED_TRACE(change);
        on_a(change);
        EXPECT_EQ(make_equal(true), "");
        EXPECT_EQ(dumps_differ(), "");
        EXPECT_EQ(on_b("SELECT rolsuper FROM pg_roles WHERE rolname = 'tenant'"), "f");
    }
    EXPECT_EQ(on_b("SELECT climb FROM seen"), "t");
    on_b(
        "REVOKE TEMPORARY ON DATABASE app FROM PUBLIC; ALTER TABLE theirs DROP CONSTRAINT "
        "theirs_pkey; ALTER DOMAIN number DROP CONSTRAINT sure");
    const StructureMended mended = mend(check());
    ASSERT_TRUE(mended.edited.left.contains("constraint sure on public.number"))
        << describe(mended);
    EXPECT_THAT(mended.edited.left.at("constraint sure on public.number").reason,
                HasSubstr("GRANT TEMPORARY ON DATABASE \"app\" TO \"tenant\""));
}

/// The daemon is gone after the primary's answer, before its commit, and behind it.
TEST_F(DatabaseStructureMend, ACrashLeavesAllOrNothing) {
    begin();
    on_b("DROP INDEX by_name; DROP TABLE child; ALTER TABLE parts ALTER v SET DEFAULT 'y'");
    const StructureReport found = check();
    on_b(
        "CREATE FUNCTION antipode.cut() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "pg_terminate_backend(pg_backend_pid()); END $$; CREATE EVENT TRIGGER cut ON "
        "ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION antipode.cut(); "
        "ALTER EVENT TRIGGER cut ENABLE ALWAYS");
    const std::string problem = meanwhile([&] {
        DirectBulk bulk(primary_->bulk);
        secondary::StructureMend mending({.store = store, .tries = 1}, bulk, secondary_->barriers);
        return mending.run(found.differences, stop_.get_token()).problem;
    });
    EXPECT_THAT(problem, HasSubstr("terminating connection"));
    on_b(
        "SET session_replication_role = replica; DROP EVENT TRIGGER cut; DROP FUNCTION "
        "antipode.cut()");
    restart_secondary();
    EXPECT_EQ(on_b("SELECT to_regclass('child'), to_regclass('by_name')"), "|");
    EXPECT_EQ(make_equal(), "");
    EXPECT_EQ(dumps_differ(), "");
    expect_equal();
}

}  // namespace
}  // namespace antipode::test
