#include "adapters/postgres/as_role.hpp"

namespace antipode::postgres {
namespace {

/// All names are qualified: the search_path is someone else's. The comment keeps plpgsql from
/// taking SELECT INTO for its own. Constraint triggers fire as the role, not as the daemon at its
/// commit.
constexpr const char* make_function = R"(
    CREATE FUNCTION pg_temp.antipode_as_role(pg_catalog.text) RETURNS pg_catalog.void
    LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN EXECUTE pg_catalog.concat(''/**/'', $1); SET CONSTRAINTS ALL IMMEDIATE; END')";

/// Tables on which a trigger may have been put off in spite of that. PostgreSQL refuses to alter
/// one that waits for a trigger.
constexpr const char* may_wait_sql = R"(
    SELECT format('ALTER TABLE ONLY %I.%I ENABLE %s TRIGGER %I', nspname, relname,
        CASE tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, tgname)
    FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE tgdeferrable AND tgenabled IN ('A', 'R') AND NOT tgisinternal
      AND pg_has_role(session_user, relowner, 'USAGE'))";

constexpr const char* object_in_use = "55006";

/// A cursor WITH HOLD would run on at the commit, as the daemon. Names and operators are the
/// catalogs' before any is looked up: whose code ran may have SET another search_path.
void forget_what_is_left(Connection& connection, const std::string& doing) {
    try {
        connection.execute(doing, "SET search_path = pg_catalog, pg_temp; CLOSE ALL; DISCARD TEMP");
        const Rows may_wait = connection.query(doing, may_wait_sql);
        for (int row = 0; row < may_wait.size(); ++row) {
            connection.execute(doing, may_wait.string(row, 0));
        }
    } catch (const SqlError& error) {
        if (error.sqlstate() != object_in_use) {
            throw;
        }
        // Nobody else uses it: the next try would end as this one.
        throw SqlError(Reaction::Stop, error.what(), error.next_step(), error.sqlstate());
    }
}

}  // namespace

void run_as(Connection& connection, const std::string& doing, const std::string& role,
            const std::string& sql) {
    const std::string acting = "acting as the role " + quote_identifier(role);
    connection.execute(acting, make_function);
    connection.execute(acting,
                       "ALTER FUNCTION pg_temp.antipode_as_role(pg_catalog.text) OWNER TO " +
                           quote_identifier(role));
    connection.query(doing, "SELECT pg_temp.antipode_as_role($1)", {sql});
    forget_what_is_left(connection, doing);
}

}  // namespace antipode::postgres
