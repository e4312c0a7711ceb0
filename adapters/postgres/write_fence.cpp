#include "adapters/postgres/write_fence.hpp"

#include "adapters/postgres/control.hpp"

namespace antipode::postgres {
namespace {

/// Who may connect and what was before, so that it can be put back.
constexpr const char* fence_table = R"(
CREATE TABLE IF NOT EXISTS antipode.fence (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    daemon text NOT NULL,
    closed boolean NOT NULL DEFAULT false,
    readers text[] NOT NULL DEFAULT '{}',
    connect_before text[] NOT NULL DEFAULT '{}',
    read_only_before text
);
COMMENT ON COLUMN antipode.fence.connect_before IS 'who had CONNECT; an empty name is PUBLIC';
)";

/// The first reason for which a role, or one that it may act as, can write here; null: it cannot.
constexpr const char* reason_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.why_may_write(role oid) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
    WITH acts_as AS MATERIALIZED (
        SELECT r.oid, r.rolname, r.rolsuper, r.rolcreaterole FROM pg_roles r
        WHERE pg_has_role(role, r.oid, 'MEMBER')),
    relation AS MATERIALIZED (
        SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'f', 'S') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname NOT LIKE 'pg\_toast%')
    (SELECT CASE WHEN a.rolsuper THEN format('may act as the superuser %I', a.rolname)
            WHEN a.rolname = f.daemon THEN format('may act as the daemon''s role %I', a.rolname)
            WHEN a.rolcreaterole THEN 'may give itself other roles (CREATEROLE)'
            WHEN a.rolname IN ('pg_execute_server_program', 'pg_write_server_files')
                THEN format('may write as the server (%I)', a.rolname) END AS why
     FROM acts_as a LEFT JOIN antipode.fence f ON true
     WHERE a.rolsuper OR a.rolname = f.daemon OR a.rolcreaterole
        OR a.rolname IN ('pg_execute_server_program', 'pg_write_server_files') LIMIT 1)
    UNION ALL
    (SELECT 'may write to ' || t.name FROM acts_as a CROSS JOIN relation t
     WHERE CASE t.relkind WHEN 'S' THEN has_sequence_privilege(a.oid, t.oid, 'USAGE, UPDATE')
           ELSE has_table_privilege(a.oid, t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
             OR has_any_column_privilege(a.oid, t.oid, 'INSERT, UPDATE') END LIMIT 1)
    LIMIT 1
$$;
)sql";

constexpr const char* writers_functions = R"sql(
CREATE OR REPLACE FUNCTION antipode.writers() RETURNS TABLE (role text, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.role, w.why FROM (
        SELECT r.rolname::text AS role, antipode.why_may_write(r.oid) AS why
        FROM pg_roles r, antipode.fence f
        WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> f.daemon
          AND has_database_privilege(r.oid, current_database(), 'CONNECT')
        OFFSET 0) w
    WHERE w.why IS NOT NULL ORDER BY 1
$$;
-- Of the roles that shall read: why not. A role may be one of several people.
CREATE OR REPLACE FUNCTION antipode.kept_out(readers text[]) RETURNS TABLE (role text, why text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.name, coalesce(m.why, 'there is no such role')
    FROM unnest(readers) a(name) LEFT JOIN pg_roles r ON r.rolname = a.name
    LEFT JOIN LATERAL (
        SELECT CASE WHEN l.oid = r.oid THEN l.why ELSE format('%I %s', l.rolname, l.why) END AS why
        FROM (SELECT l.oid, l.rolname, antipode.why_may_write(l.oid) AS why
              FROM pg_roles l, antipode.fence f
              WHERE (l.oid = r.oid OR l.rolcanlogin AND pg_has_role(l.oid, r.oid, 'MEMBER'))
                AND (l.oid = r.oid OR NOT l.rolsuper) AND l.rolname <> f.daemon OFFSET 0) l
        WHERE l.why IS NOT NULL LIMIT 1) m ON true
    WHERE r.oid IS NULL OR m.why IS NOT NULL
$$;
)sql";

constexpr const char* close_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.close_for_writes(readers text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state antipode.fence;
    admitted text[];
    one record;
BEGIN
    SELECT * INTO STRICT state FROM antipode.fence FOR UPDATE;
    IF NOT state.closed THEN
        SELECT coalesce(array_agg(DISTINCT CASE a.grantee WHEN 0 THEN ''
                                           ELSE pg_get_userbyid(a.grantee) END), '{}')
        INTO state.connect_before
        FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT';
        SELECT split_part(s.line, '=', 2) INTO state.read_only_before
        FROM pg_database d JOIN pg_db_role_setting r ON r.setdatabase = d.oid AND r.setrole = 0
        CROSS JOIN LATERAL unnest(r.setconfig) s(line)
        WHERE d.datname = current_database()
          AND s.line LIKE 'default\_transaction\_read\_only=%';
    END IF;
    SELECT array_agg(r.name) || state.daemon INTO admitted FROM unnest(readers) r(name)
        WHERE r.name NOT IN (SELECT k.role FROM antipode.kept_out(readers) k);
    FOR one IN SELECT DISTINCT a.grantee,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
            AS name FROM pg_database d,
            aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT'
          AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> ALL (admitted)) LOOP
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', current_database(),
                       one.name);
    END LOOP;
    FOR one IN SELECT a.name FROM unnest(admitted) a(name) JOIN pg_roles r ON r.rolname = a.name
        WHERE NOT EXISTS (SELECT FROM pg_database d, aclexplode(d.datacl) a
                          WHERE d.datname = current_database() AND a.grantee = r.oid
                            AND a.privilege_type = 'CONNECT') LOOP
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), one.name);
    END LOOP;
    IF NOT state.closed THEN
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
                       current_database());
    END IF;
    UPDATE antipode.fence SET closed = true, readers = close_for_writes.readers,
        connect_before = state.connect_before, read_only_before = state.read_only_before
    WHERE NOT closed OR fence.readers <> close_for_writes.readers;
END $$;
-- Once that is committed: they cannot come back.
CREATE OR REPLACE FUNCTION antipode.end_sessions_of_strangers() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
    JOIN pg_roles r ON r.oid = a.usesysid, antipode.fence f
    WHERE f.closed AND a.datname = current_database() AND a.backend_type = 'client backend'
      AND NOT r.rolsuper AND NOT has_database_privilege(r.oid, current_database(), 'CONNECT')
$$;
)sql";

constexpr const char* open_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.open_for_writes() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state antipode.fence;
    one record;
BEGIN
    SELECT * INTO STRICT state FROM antipode.fence FOR UPDATE;
    IF NOT state.closed THEN
        RETURN;
    END IF;
    FOR one IN SELECT b.name FROM unnest(state.connect_before) b(name)
        LEFT JOIN pg_roles r ON r.rolname = b.name WHERE b.name = '' OR r.oid IS NOT NULL LOOP
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %s', current_database(),
                       CASE one.name WHEN '' THEN 'PUBLIC' ELSE quote_ident(one.name) END);
    END LOOP;
    FOR one IN SELECT r.rolname AS name FROM unnest(state.readers) a(name)
        JOIN pg_roles r ON r.rolname = a.name
        WHERE a.name <> ALL (state.connect_before) AND a.name <> state.daemon LOOP
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM %I', current_database(), one.name);
    END LOOP;
    IF state.read_only_before IS NULL THEN
        EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only',
                       current_database());
    ELSE
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = %L',
                       current_database(), state.read_only_before);
    END IF;
    UPDATE antipode.fence SET closed = false;
END $$;
)sql";

/// Does not fire in sessions of replication, so not for the daemon.
constexpr const char* refuse_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.refuse_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM antipode.fence WHERE closed AND daemon <> session_user) THEN
        RAISE read_only_sql_transaction USING
            MESSAGE = format('cannot execute %s: this database is a mirror', TG_TAG),
            HINT = 'Change the primary; Antipode brings it here. A superuser may SET '
                'session_replication_role = replica, and then makes the two sites differ.';
    END IF;
END $$;
DROP EVENT TRIGGER IF EXISTS antipode_read_only;
CREATE EVENT TRIGGER antipode_read_only ON ddl_command_start
    EXECUTE FUNCTION antipode.refuse_ddl();
)sql";

constexpr const char* rights = R"sql(
DO $$
DECLARE
    daemon constant text := @ROLE@;
BEGIN
    REVOKE ALL ON FUNCTION antipode.why_may_write(oid), antipode.writers(),
        antipode.kept_out(text[]), antipode.close_for_writes(text[]),
        antipode.end_sessions_of_strangers(), antipode.open_for_writes() FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION antipode.writers(), antipode.kept_out(text[]), '
        'antipode.close_for_writes(text[]), antipode.end_sessions_of_strangers(), '
        'antipode.open_for_writes() TO %I', daemon);
    EXECUTE format('GRANT SELECT ON antipode.fence TO %I', daemon);
    INSERT INTO antipode.fence (daemon) VALUES (daemon)
        ON CONFLICT (one) DO UPDATE SET daemon = excluded.daemon;
END $$;
)sql";

constexpr const char* set_up_again = "antipode database setup --url URL, with a superuser's URL";

constexpr const char* doing = "looking who may write to the secondary's database";

std::string text_array(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) {
        list += (list.empty() ? "" : ", ") + quote_literal(word);
    }
    return "ARRAY[" + list + "]::text[]";
}

std::vector<FenceState::Writer> writers(const Rows& rows) {
    std::vector<FenceState::Writer> found;
    for (int row = 0; row < rows.size(); ++row) {
        found.push_back({rows.string(row, 0), rows.string(row, 1)});
    }
    return found;
}

/// That somebody of those who may connect may call, and that have not come with an extension.
constexpr const char* definers_sql = R"(
    SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
      AND EXISTS (SELECT FROM pg_roles r, antipode.fence f
                  WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> f.daemon
                    AND has_database_privilege(r.oid, current_database(), 'CONNECT')
                    AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
    ORDER BY 1)";

}  // namespace

std::string fence_setup_sql(const std::string& role) {
    std::string granted = rights;
    constexpr std::string_view place = "@ROLE@";
    granted.replace(granted.find(place), place.size(), quote_literal(role));
    return std::string(fence_table) + reason_function + writers_functions + close_function +
           open_function + refuse_function + granted;
}

std::string close_fence_sql(const std::vector<std::string>& readers) {
    return "BEGIN READ WRITE;\nSELECT antipode.close_for_writes(" + text_array(readers) +
           ");\nCOMMIT;\nSELECT antipode.end_sessions_of_strangers();\n";
}

struct DatabaseFence::State {
    Options options;
    Control control;
    explicit State(Options given)
        : options(std::move(given)), control(options.url, options.application_name) {}

    bool is_set_up(Connection& connection) {
        return connection
            .query(doing,
                   "SELECT to_regprocedure('antipode.close_for_writes(text[])') IS NOT NULL "
                   "AND to_regprocedure('antipode.kept_out(text[])') IS NOT NULL")
            .boolean(0, 0);
    }
    void require(Connection& connection) {
        if (!is_set_up(connection)) {
            throw Error(Reaction::Stop, "nothing keeps others from writing to this database",
                        set_up_again);
        }
    }
    /// Whatever the server refuses here, the setup gives.
    template <typename Use>
    auto transaction(Use use) {
        try {
            return control.transaction(use);
        } catch (const SqlError& error) {
            if (error.reaction() == Reaction::Retry) {
                throw;
            }
            throw Error(error.reaction(), error.what(), set_up_again);
        }
    }
};

DatabaseFence::DatabaseFence(Options options)
    : state_(std::make_unique<State>(std::move(options))) {}
DatabaseFence::~DatabaseFence() = default;

FenceState DatabaseFence::look() {
    return state_->transaction([&](Connection& connection) {
        FenceState fence;
        fence.server_version = connection.server_version();
        fence.set_up = state_->is_set_up(connection);
        if (!fence.set_up) {
            return fence;
        }
        fence.closed = connection.query(doing, "SELECT closed FROM antipode.fence").boolean(0, 0);
        fence.writers =
            writers(connection.query(doing, "SELECT role, why FROM antipode.writers()"));
        fence.kept_out =
            writers(connection.query(doing, "SELECT role, why FROM antipode.kept_out(" +
                                                text_array(state_->options.readers) + ")"));
        const Rows definers = connection.query(doing, definers_sql);
        for (int row = 0; row < definers.size(); ++row) {
            fence.definers.push_back(definers.string(row, 0));
        }
        return fence;
    });
}

void DatabaseFence::close_for_writes() {
    state_->transaction([&](Connection& connection) {
        state_->require(connection);
        connection.query(
            "closing the database for writes",
            "SELECT antipode.close_for_writes(" + text_array(state_->options.readers) + ")");
        return true;
    });
    // Whoever is in already cannot come back.
    state_->transaction([&](Connection& connection) {
        connection.query("ending sessions that may write",
                         "SELECT antipode.end_sessions_of_strangers()");
        return true;
    });
}

void DatabaseFence::open_for_writes() {
    state_->transaction([&](Connection& connection) {
        state_->require(connection);
        connection.query("opening the database for writes", "SELECT antipode.open_for_writes()");
        return true;
    });
}

}  // namespace antipode::postgres
