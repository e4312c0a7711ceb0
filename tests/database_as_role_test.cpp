// Code of users that a change of the structure calls gets none of the daemon's rights here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_ddl.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

/// The daemon is a superuser, and the owner of a table is not.
class DatabaseAsRole : public DatabaseDdl {
  protected:
    DatabaseAsRole() {
        for (const PostgresServer* server : {&a_, &b_}) {
            server->psql("ALTER ROLE app_owner LOGIN", "app");
        }
    }
    void as_owner(const std::string& sql) {
        postgres::Connection client(a_.url("app", "app_owner"), "client");
        client.execute("running a test's script", "SET search_path = public; " + sql);
    }
    /// Tries what it can, and says nothing of what fails.
    void make_climber() {
        as_owner(R"(CREATE TABLE mine (id int PRIMARY KEY); INSERT INTO mine VALUES (1);
            CREATE FUNCTION attempt(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                EXECUTE what; EXECUTE 'ALTER ROLE app_owner SUPERUSER'; RETURN true;
                EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
            CREATE FUNCTION climb(i int) RETURNS boolean LANGUAGE sql AS $$ SELECT
                public.attempt('RESET ROLE') AND public.attempt('SET ROLE postgres') AND
                public.attempt('SET SESSION AUTHORIZATION DEFAULT') AND
                public.attempt('RESET SESSION AUTHORIZATION') AND public.attempt('RESET ALL') $$;
            CREATE FUNCTION sure(i int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
                'BEGIN RETURN public.climb(i); END')");
    }
    void expect_no_climb() {
        EXPECT_EQ(on_b("SELECT rolsuper FROM pg_roles WHERE rolname = 'app_owner'"), "f");
    }
};

TEST_F(DatabaseAsRole, OwnersCodeCannotBecomeTheDaemon) {
    make_climber();
    follow();
    for (const char* change : {
             "ALTER TABLE mine ADD CONSTRAINT sure CHECK (climb(id))",
             "ALTER TABLE mine DROP CONSTRAINT sure; ALTER TABLE mine ADD g boolean GENERATED "
             "ALWAYS AS (sure(id)) STORED",
             "ALTER TABLE mine DROP g; ALTER TABLE mine ALTER id TYPE bigint USING "
             "climb(id)::int::bigint",
             "CREATE DOMAIN sure AS int DEFAULT 1 CHECK (climb(value))",
             "ALTER TABLE mine ADD d sure",
             "CREATE MATERIALIZED VIEW seen AS SELECT climb(1)",
             "REFRESH MATERIALIZED VIEW seen",
             "CREATE INDEX ON mine (sure(1))",
         }) {
        SCOPED_TRACE(change);
        as_owner(change);
        follow_copying();
        expect_no_climb();
    }
}

/// The primary's search_path comes first where a mirror runs the statement.
TEST_F(DatabaseAsRole, TheSearchPathOfAStatementServesNobodyElse) {
    as_owner(R"(CREATE SCHEMA own;
        CREATE FUNCTION own.climb() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            ALTER ROLE app_owner SUPERUSER; RETURN true;
            EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
        CREATE FUNCTION own.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS
            'SELECT own.climb(); SELECT pg_catalog.set_config($1, $2, $3)';
        CREATE FUNCTION own.pg_has_role(name, oid, text) RETURNS boolean LANGUAGE sql AS
            'SELECT own.climb()';
        CREATE VIEW own.pg_roles AS SELECT rolname, rolsuper OR own.climb() AS rolsuper, oid
            FROM pg_catalog.pg_roles;
        CREATE FUNCTION own.same("char", "char") RETURNS boolean LANGUAGE sql AS
            'SELECT own.climb()';
        CREATE OPERATOR own.= (FUNCTION = own.same, LEFTARG = "char", RIGHTARG = "char");
        CREATE FUNCTION own.later() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TABLE own.put_off (id int PRIMARY KEY);
        CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON own.put_off DEFERRABLE
            FOR EACH ROW EXECUTE FUNCTION own.later();
        ALTER TABLE own.put_off ENABLE ALWAYS TRIGGER later)");
    as_owner("SET search_path = own, pg_catalog; CREATE TABLE own.t (id int PRIMARY KEY)");
    as_owner("SET search_path = own, pg_catalog; ALTER TABLE own.t ADD v int");
    follow();
    expect_no_climb();
}

TEST_F(DatabaseAsRole, WhatOwnersCodeLeavesBehindIsNotRunAsTheDaemon) {
    make_climber();
    as_owner(R"(CREATE TABLE other (id int PRIMARY KEY);
        CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM public.climb(1); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON mine DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION later(); ALTER TABLE mine ENABLE ALWAYS TRIGGER later;
        CREATE FUNCTION leave(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            UPDATE public.mine SET id = id;
            EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT public.climb(1)';
            EXECUTE 'CREATE TEMP VIEW pg_class AS SELECT oid, c.relname, c.relkind, '
                    'c.relnamespace, public.climb(1) FROM pg_catalog.pg_class c';
            EXECUTE 'PREPARE later AS SELECT public.climb(1)';
            CREATE TEMP TABLE pg_namespace (oid oid);
            SET search_path = public; SET row_security = on; SET enable_seqscan = on;
            RETURN true; EXCEPTION WHEN feature_not_supported THEN RETURN true; END $$)");
    follow();
    as_owner(
        "INSERT INTO other VALUES (1); ALTER TABLE other ADD CONSTRAINT left_behind "
        "CHECK (leave(id)) NOT VALID; ALTER TABLE other VALIDATE CONSTRAINT left_behind");
    follow();
    expect_no_climb();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_catalog.pg_class WHERE relname IN ('pg_class', "
                   "'pg_namespace') AND relpersistence = 't'"),
              "0");
}

/// A trigger that puts itself off until the daemon commits.
TEST_F(DatabaseAsRole, ATriggerThatPutsItselfOffStopsTheLane) {
    make_climber();
    as_owner(R"(CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
        CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('own.once', true) IS NULL THEN
                PERFORM set_config('own.once', 'x', true); SET CONSTRAINTS ALL DEFERRED;
                UPDATE public.mine SET id = id; END IF;
            PERFORM public.climb(1); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON mine DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION later(); ALTER TABLE mine ENABLE ALWAYS TRIGGER later;
        CREATE FUNCTION leave(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('session_replication_role') = 'replica' THEN
                UPDATE public.mine SET id = id; END IF;
            RETURN true; END $$)");
    follow();
    as_owner("ALTER TABLE other ADD CONSTRAINT left_behind CHECK (leave(id))");
    EXPECT_THAT(halts(), HasSubstr("pending trigger events"));
    expect_no_climb();
}

TEST_F(DatabaseAsRole, NamesTheRightThatItNeedsToActAsARole) {
    for (const PostgresServer* server : {&a_, &b_}) {
        server->psql("CREATE ROLE maker LOGIN; GRANT CREATE ON SCHEMA public TO maker", "app");
    }
    b_.psql("REVOKE TEMPORARY ON DATABASE app FROM PUBLIC");
    postgres::Connection maker(a_.url("app", "maker"), "client");
    maker.execute("making", "CREATE TABLE public.made (id int PRIMARY KEY)");
    EXPECT_THAT(halts(), HasSubstr("GRANT TEMPORARY ON DATABASE \"app\" TO \"maker\""));
    b_.psql("GRANT TEMPORARY ON DATABASE app TO maker");
    given_ = Position{};
    follow();
}

}  // namespace
}  // namespace antipode::test
