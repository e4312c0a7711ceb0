#include "adapters/postgres/replica_setup.hpp"

#include "adapters/postgres/capture_setup.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/write_fence.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* looking = "looking at the secondary's database";

/// Owners of the database and of everything in it that an application made.
constexpr const char* owners_sql = R"(
    SELECT datdba AS owner FROM pg_database WHERE datname = current_database()
    UNION SELECT nspowner FROM pg_namespace
        WHERE nspname NOT IN ('information_schema', 'antipode', 'public')
          AND nspname NOT LIKE 'pg\_%'
    UNION SELECT o.owner FROM (
        SELECT 'pg_class'::regclass AS class, oid, relnamespace AS schema, relowner AS owner
            FROM pg_class
        UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typowner FROM pg_type) o
    JOIN pg_namespace n ON n.oid = o.schema
    WHERE n.nspname NOT IN ('information_schema', 'antipode') AND n.nspname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid
                      AND d.deptype = 'e'))";

/// @ROLE@ and @OWNERS@ are replaced by literals. A database that belongs to a superuser becomes
/// the daemon's: its schema "public" could not be changed else.
constexpr const char* rights = R"(
DO $$
DECLARE
    daemon constant text := @ROLE@;
    asked constant text[] := @OWNERS@::text[];
    is_super boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = daemon);
    one record;
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        EXECUTE format('GRANT SET ON PARAMETER session_replication_role TO %I', daemon);
    ELSIF NOT is_super THEN
        RAISE EXCEPTION 'before version 15 only a superuser may keep triggers from firing: '
            'ALTER ROLE % SUPERUSER, or use a newer server', quote_ident(daemon);
    END IF;
    EXECUTE format('ALTER ROLE %I INHERIT BYPASSRLS', daemon);
    EXECUTE format('GRANT pg_read_all_data, pg_write_all_data, pg_signal_backend, '
                   'pg_read_all_stats TO %I', daemon);
    EXECUTE format('GRANT CREATE, CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(),
                   daemon);
    IF (SELECT rolsuper FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
        WHERE datname = current_database()) AND NOT is_super THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), daemon);
    END IF;
    FOR one IN SELECT a.name FROM unnest(asked) a(name)
        LEFT JOIN pg_roles r ON r.rolname = a.name WHERE coalesce(r.rolsuper, true) LOOP
        RAISE EXCEPTION 'role % is missing here, or a superuser: the daemon cannot act as it',
            quote_ident(one.name);
    END LOOP;
    FOR one IN SELECT r.rolname AS name FROM pg_roles r
        WHERE NOT r.rolsuper AND NOT starts_with(r.rolname, 'pg_') AND r.rolname <> daemon
          AND (r.rolname = ANY (asked) OR r.oid IN (@OWNED@))
          AND NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles d ON d.oid = m.member
                          WHERE m.roleid = r.oid AND d.rolname = daemon) LOOP
        EXECUTE format('GRANT %I TO %I', one.name, daemon);
    END LOOP;
    -- Whoever follows this database, should it become a primary, believes messages of its log.
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE proname =
        'pg_logical_emit_message' AND pronamespace = 'pg_catalog'::regnamespace LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', one.name, daemon);
    END LOOP;
    -- What the daemon keeps stands there; what this script makes is not the daemon's to change.
    CREATE SCHEMA IF NOT EXISTS antipode;
    EXECUTE format('ALTER SCHEMA antipode OWNER TO %I', current_user);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA antipode TO %I', daemon);
END $$;
)";

void replace_all(std::string& text, std::string_view place, const std::string& with) {
    for (size_t at = text.find(place); at != std::string::npos;
         at = text.find(place, at + with.size())) {
        text.replace(at, place.size(), with);
    }
}

std::string array_literal(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) {
        list += (list.empty() ? "" : ", ") + quote_literal(word);
    }
    return "ARRAY[" + list + "]";
}

std::vector<std::string> names(const Rows& rows) {
    std::vector<std::string> found;
    for (int row = 0; row < rows.size(); ++row) {
        found.push_back(rows.string(row, 0));
    }
    return found;
}

}  // namespace

std::string replica_setup_sql(const ReplicaSetup& setup) {
    std::string granted = rights;
    replace_all(granted, "@OWNED@", owners_sql);
    replace_all(granted, "@ROLE@", quote_literal(setup.role));
    replace_all(granted, "@OWNERS@", array_literal(setup.owners));
    return std::string("BEGIN READ WRITE;\n") +
           "SET LOCAL session_replication_role = replica;\n"
           "SET LOCAL search_path = pg_catalog;\n" +
           granted + capture_functions_sql({setup.role, setup.publication}) +
           fence_setup_sql(setup.role) + "COMMIT;\n" +
           (setup.close ? close_fence_sql(setup.readers) : "");
}

void run_replica_setup(const std::string& url, const ReplicaSetup& setup) {
    Connection connection(url, "antipode database setup");
    try {
        // Each ends its own transactions.
        connection.execute("setting up the secondary's database", replica_setup_sql(setup));
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "antipode database setup --url \"... user=postgres\", with a superuser; or "
                    "--dry-run, and run what it prints with psql");
    }
}

std::vector<std::string> owners_in(const std::string& url) {
    return names(Connection(url, "antipode database setup")
                     .query("listing owners",
                            std::string("SELECT rolname FROM pg_roles WHERE NOT rolsuper AND NOT "
                                        "starts_with(rolname, 'pg_') AND oid IN (") +
                                owners_sql + ") ORDER BY 1"));
}

ReplicaFacts look_at_replica(const std::string& url) {
    Connection connection(url, "antipode doctor");
    const bool grants_parameters = connection.server_version() >= 150000;
    const Rows rows = connection.query(
        looking,
        std::string(
            "SELECT current_user, current_database(), r.rolsuper, pg_is_in_recovery(), "
            "has_database_privilege(current_database(), 'CREATE'), "
            "pg_has_role('pg_write_all_data', 'USAGE') AND pg_has_role('pg_read_all_data', "
            "'USAGE'), r.rolsuper OR r.rolbypassrls, pg_has_role('pg_signal_backend', 'USAGE') AND "
            "pg_has_role('pg_read_all_stats', 'USAGE'), ") +
            (grants_parameters ? "has_parameter_privilege('session_replication_role', 'SET')"
                               : "r.rolsuper") +
            " FROM pg_roles r WHERE r.rolname = current_user");
    ReplicaFacts facts;
    facts.server_version = connection.server_version();
    facts.role = rows.string(0, 0);
    facts.database = rows.string(0, 1);
    facts.superuser = rows.boolean(0, 2);
    facts.in_recovery = rows.boolean(0, 3);
    facts.creates = rows.boolean(0, 4);
    facts.reads_and_writes_all = rows.boolean(0, 5);
    facts.bypasses_row_security = rows.boolean(0, 6);
    facts.sees_and_ends_sessions = rows.boolean(0, 7);
    facts.keeps_triggers_quiet = rows.boolean(0, 8);
    facts.strange_owners =
        names(connection.query(looking, std::string("SELECT rolname FROM pg_roles WHERE NOT "
                                                    "pg_has_role(oid, 'MEMBER') AND oid IN (") +
                                            owners_sql + ") ORDER BY 1"));
    return facts;
}

}  // namespace antipode::postgres
