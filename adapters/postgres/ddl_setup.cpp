#include "adapters/postgres/ddl_setup.hpp"

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

/// Runs as whoever ran the statement, and with his settings: it tells what they are. All names are
/// qualified because his search_path is in force.
constexpr const char* capture_function = R"(
CREATE OR REPLACE FUNCTION antipode.capture_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    context text;
    done boolean;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    -- An assignment, not PERFORM: what is called looks who called it.
    done := antipode.emit_ddl(TG_EVENT, TG_TAG, current_user, context,
        pg_catalog.jsonb_build_object(
            'search_path', pg_catalog.current_setting('search_path'),
            'DateStyle', pg_catalog.current_setting('DateStyle'),
            'IntervalStyle', pg_catalog.current_setting('IntervalStyle'),
            'TimeZone', pg_catalog.current_setting('TimeZone'),
            'standard_conforming_strings',
                pg_catalog.current_setting('standard_conforming_strings'),
            'backslash_quote', pg_catalog.current_setting('backslash_quote'),
            'transform_null_equals', pg_catalog.current_setting('transform_null_equals'),
            'array_nulls', pg_catalog.current_setting('array_nulls'),
            'xmloption', pg_catalog.current_setting('xmloption'),
            'default_text_search_config',
                pg_catalog.current_setting('default_text_search_config'),
            'default_table_access_method',
                pg_catalog.current_setting('default_table_access_method'),
            'default_toast_compression',
                pg_catalog.current_setting('default_toast_compression')));
END $$;
)";

/// What was run: the client's text, or the inner statement when a function did it. A function in
/// SQL says only its name and the statement's place in it.
constexpr const char* text_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.ddl_text(context text) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Behind the line of the event trigger's own function.
    caller text := substr(context, strpos(context || E'\n', E'\n') + 1);
    parts text[];
    body text;
BEGIN
    IF starts_with(caller, 'SQL statement "') THEN
        RETURN jsonb_build_object('text',
            regexp_replace(substr(caller, 16), '"(\n(PL/|SQL ).*)?$', ''));
    END IF;
    parts := regexp_match(caller, '^SQL function "([^\n]*)" statement (\d+)');
    IF parts IS NULL THEN
        RETURN jsonb_build_object('text', current_query());
    END IF;
    SELECT p.prosrc INTO STRICT body FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.proname = parts[1] AND l.lanname = 'sql';
    RETURN jsonb_build_object('text', body, 'place', parts[2]::int);
EXCEPTION WHEN TOO_MANY_ROWS OR NO_DATA_FOUND THEN
    RETURN jsonb_build_object('problem', format('it was run by the SQL function "%s", of whose '
        'name there are several; DDL in functions is followed in PL/pgSQL', parts[1]));
END $$;
)sql";

/// Several statements of one text fire with the same text: how many with this tag did before. The
/// count is a setting, so that it goes back with a subtransaction.
constexpr const char* count_function = R"(
CREATE OR REPLACE FUNCTION antipode.count_ddl(text text, tag text, done boolean) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    run text := extract(epoch FROM statement_timestamp())::text;
    seen jsonb := nullif(current_setting('antipode.seen', true), '');
    key text := md5(text) || tag;
    nth int;
BEGIN
    IF text !~ ';\s*\S' THEN
        RETURN 1;
    END IF;
    IF seen ->> 'run' IS DISTINCT FROM run THEN
        seen := jsonb_build_object('run', run);
    END IF;
    nth := coalesce((seen ->> key)::int, 0) + 1;
    IF done THEN
        PERFORM set_config('antipode.seen', (seen || jsonb_build_object(key, nth))::text, false);
    END IF;
    RETURN nth;
END $$;
)";

/// What an ALTER TABLE does to rows that were there: what they have in new columns, and whether a
/// server of its own would have filled in the same; which functions of the text return something
/// else each time; which tables hold rows.
constexpr const char* columns_function = R"sql(
CREATE OR REPLACE FUNCTION antipode.ddl_columns(text text) RETURNS jsonb LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO, YMD' SET TimeZone = 'UTC'
SET IntervalStyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' AS $$
DECLARE
    tables oid[];
    one oid;
    found boolean;
    filled jsonb := '[]';
    result jsonb;
BEGIN
    IF text !~* '\m(add|logged|using)\M' THEN
        RETURN '{}';
    END IF;
    WITH RECURSIVE family AS (
        SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN family ON i.inhparent = objid)
    SELECT array_agg(c.oid) INTO tables FROM family JOIN pg_class c ON c.oid = objid
        WHERE c.relkind = 'r' AND c.relpersistence = 'p';
    FOREACH one IN ARRAY coalesce(tables, '{}') LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', one::regclass) INTO found;
        IF found THEN
            filled := filled || (SELECT jsonb_build_object('schema', n.nspname, 'table', c.relname)
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = one);
        END IF;
    END LOOP;
    SELECT jsonb_build_object('filled', filled <> '[]', 'tables', filled,
        'changing', CASE WHEN text ~* '\musing\M' THEN
            (SELECT coalesce(jsonb_agg(DISTINCT p.proname), '[]') FROM pg_proc p
             WHERE p.provolatile <> 'i' AND p.proname IN (
                SELECT lower(m[1]) FROM regexp_matches(text, '([^\s"(.,]+)\s*\(', 'g') m
                UNION SELECT m[1] FROM regexp_matches(text, '"([^"]+)"\s*\(', 'g') m))
            ELSE '[]' END,
        'fills', coalesce(jsonb_agg(jsonb_build_object('schema', n.nspname, 'table', c.relname,
            'column', a.attname, 'value', (a.attmissingval::text::text[])[1]))
            FILTER (WHERE a.atthasmissing AND a.varies), '[]'),
        'unsafe', coalesce(jsonb_agg(a.attname)
            FILTER (WHERE a.varies AND NOT a.atthasmissing), '[]'))
    INTO result
    FROM (SELECT r.*, r.attidentity <> '' OR d.node ~ 'SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO'
            OR EXISTS (SELECT FROM regexp_matches(d.node, ':(?:funcid|opfuncid) (\d+)', 'g') m
                       JOIN pg_proc p ON p.oid = m[1]::oid WHERE p.provolatile <> 'i') AS varies
        FROM pg_attribute r JOIN pg_type t ON t.oid = r.atttypid
        LEFT JOIN pg_attrdef f ON f.adrelid = r.attrelid AND f.adnum = r.attnum
        CROSS JOIN LATERAL (SELECT coalesce(f.adbin, t.typdefaultbin)::text AS node) d
        WHERE r.attrelid = ANY (tables) AND r.attnum > 0 AND NOT r.attisdropped) a
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace;
    RETURN result;
END $$;
)sql";

/// What the statement changed, or null when it is nothing of a mirror's: temporary objects, what
/// belongs to extensions, replication itself. CREATE TABLE AS is told of before it runs, because
/// its rows must come later; DROP while the names of what goes are known.
constexpr const char* objects_function = R"(
CREATE OR REPLACE FUNCTION antipode.ddl_objects(event text, tag text, text text) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fills_table boolean := tag IN ('CREATE TABLE AS', 'SELECT INTO');
    drops boolean := starts_with(tag, 'DROP ');
    objects jsonb;
    mixed boolean;
    named text;
BEGIN
    IF tag ~ '(PUBLICATION|SUBSCRIPTION)$' OR tag IN ('SECURITY LABEL', 'REINDEX') THEN
        RETURN NULL;
    ELSIF event = 'ddl_command_start' THEN
        RETURN CASE WHEN text !~* '^\s*create\s+((global|local)\s+)?temp' THEN '{}'::jsonb END;
    ELSIF event = 'ddl_command_end' AND NOT drops AND NOT fills_table THEN
        SELECT jsonb_agg(coalesce(object_type || ' ' || object_identity, object_type))
        INTO objects FROM pg_event_trigger_ddl_commands()
        WHERE NOT in_extension AND object_type NOT LIKE 'publication%'
          AND object_type <> 'subscription'
          AND coalesce(schema_name, '') NOT IN ('pg_temp', 'antipode')
          AND coalesce(object_identity, '') !~ '( on pg_temp\.|^antipode$)';
        RETURN CASE WHEN objects IS NOT NULL THEN jsonb_build_object('objects', objects) END;
    ELSIF event = 'sql_drop' AND drops AND text !~* '^\s*(create|alter)\s+extension' THEN
        SELECT jsonb_agg(object_type || ' ' || object_identity) FILTER (WHERE NOT is_temporary),
            bool_or(is_temporary),
            format('DROP %s %s', upper(min(object_type)),
                   string_agg(object_identity, ', ') FILTER (WHERE NOT is_temporary))
        INTO objects, mixed, named FROM pg_event_trigger_dropped_objects()
        WHERE original AND coalesce(schema_name, '') <> 'antipode'
          AND object_type NOT LIKE 'publication%' AND object_type <> 'subscription'
          AND object_identity !~ '^antipode$';
        RETURN CASE WHEN objects IS NULL THEN NULL
            WHEN mixed THEN jsonb_build_object('objects', objects, 'text', named)
            ELSE jsonb_build_object('objects', objects) END;
    END IF;
    RETURN NULL;
END $$;
)";

/// PostgreSQL refuses UPDATE and DELETE of a published table without a usable identity: it is given
/// one by the statement that makes it, or that takes its key away, and loses it when a key comes,
/// unless somebody chose it. Fires no triggers of its own: a mirror needs none of this.
constexpr const char* identity_function = R"sql(
CREATE TABLE IF NOT EXISTS antipode.given_identity (relation oid PRIMARY KEY);
CREATE OR REPLACE FUNCTION antipode.give_identities(text text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET session_replication_role = replica AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        WITH RECURSIVE family AS (
            SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass
            UNION SELECT i.inhrelid FROM pg_inherits i JOIN family ON i.inhparent = objid),
        keys AS (
            SELECT i.*, x.relname AS index, NOT EXISTS (
                SELECT FROM generate_series(0, i.indnkeyatts - 1) k JOIN pg_attribute a
                ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
                WHERE NOT a.attnotnull) AS complete
            FROM pg_index i JOIN family ON i.indrelid = objid
            JOIN pg_class x ON x.oid = i.indexrelid
            WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
              AND i.indexprs IS NULL)
        SELECT c.oid, c.relreplident AS identity, n.nspname AS schema, c.relname AS name,
            g.relation IS NOT NULL AS given,
            EXISTS (SELECT FROM keys k WHERE k.indrelid = c.oid AND k.indisprimary) AS has_key,
            EXISTS (SELECT FROM keys k WHERE k.indrelid = c.oid AND k.indisreplident) AS has_index,
            (SELECT k.index FROM keys k WHERE k.indrelid = c.oid AND k.complete
             ORDER BY k.indnkeyatts, k.indexrelid LIMIT 1) AS candidate
        FROM family JOIN pg_class c ON c.oid = objid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN antipode.given_identity g ON g.relation = c.oid
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'antipode'
    LOOP
        IF one.given AND text ~* '\mreplica\s+identity\M' THEN
            DELETE FROM antipode.given_identity WHERE relation = one.oid;
        ELSIF one.given AND one.has_key THEN
            EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY DEFAULT', one.schema, one.name);
            DELETE FROM antipode.given_identity WHERE relation = one.oid;
        ELSIF (one.identity = 'd' AND NOT one.has_key OR one.identity = 'i' AND NOT one.has_index)
            AND (EXISTS (SELECT FROM pg_publication WHERE puballtables)
                 OR EXISTS (SELECT FROM pg_publication_tables t
                            WHERE t.schemaname = one.schema AND t.tablename = one.name)) THEN
            EXECUTE format('ALTER TABLE %I.%I REPLICA IDENTITY ', one.schema, one.name)
                || coalesce('USING INDEX ' || quote_ident(one.candidate), 'FULL');
            INSERT INTO antipode.given_identity VALUES (one.oid) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    -- The application's statement must not fail for it; the daemon looks every few seconds.
    RAISE WARNING 'antipode: no replica identity was chosen: %', SQLERRM;
END $$;
REVOKE ALL ON FUNCTION antipode.give_identities(text) FROM PUBLIC;
)sql";

/// Where the operator chooses identities.
constexpr const char* no_identity_function = R"sql(
DROP FUNCTION IF EXISTS antipode.give_identities(text);
DROP TABLE IF EXISTS antipode.given_identity;
)sql";

/// Has the rights of a superuser, and so obeys nobody but the event triggers' function: a line of
/// the context that no other function can have.
constexpr const char* emit_function = R"(
CREATE OR REPLACE FUNCTION antipode.emit_ddl(event text, tag text, role text, context text,
    settings jsonb) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stack text;
    message jsonb;
    objects jsonb;
    nth int;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF NOT starts_with(split_part(stack, E'\n', 2),
                       'PL/pgSQL function antipode.capture_ddl() line ') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only event triggers tell of DDL';
    END IF;
    BEGIN
        message := antipode.ddl_text(context);
        IF @IDENTITIES@ AND event = 'ddl_command_end' THEN
            PERFORM antipode.give_identities(coalesce(message ->> 'text', ''));
        END IF;
        objects := antipode.ddl_objects(event, tag, coalesce(message ->> 'text', ''));
        nth := antipode.count_ddl(coalesce(message ->> 'text', ''), tag,
                                  event = 'ddl_command_end');
        IF objects IS NULL THEN
            RETURN false;
        END IF;
        message := message || objects || jsonb_build_object('tag', tag, 'role', role,
            'settings', settings, 'nth', nth);
        IF tag = 'ALTER TABLE' THEN
            message := message || antipode.ddl_columns(message ->> 'text');
        END IF;
    EXCEPTION WHEN OTHERS THEN
        -- The application's statement must not fail for it; the mirrors stop there and say why.
        message := jsonb_build_object('tag', tag, 'role', role, 'problem',
            'the event trigger failed: ' || SQLERRM);
    END;
    PERFORM pg_logical_emit_message(true, 'antipode.ddl', convert_to(message::text, 'UTF8'));
    RETURN true;
END $$;
)";

constexpr const char* rights = R"(
GRANT USAGE ON SCHEMA antipode TO PUBLIC;
REVOKE ALL ON FUNCTION antipode.ddl_text(text), antipode.count_ddl(text, text, boolean),
    antipode.ddl_columns(text), antipode.ddl_objects(text, text, text) FROM PUBLIC;
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message'
        AND pronamespace = 'pg_catalog'::regnamespace LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', one, @ROLE@);
    END LOOP;
    -- Tables for a new secondary, and where the sequences stand.
    EXECUTE format('GRANT pg_read_all_data TO %I', @ROLE@);
END $$;
)";

constexpr const char* triggers = R"(
DROP EVENT TRIGGER IF EXISTS antipode_ddl;
DROP EVENT TRIGGER IF EXISTS antipode_drop;
DROP EVENT TRIGGER IF EXISTS antipode_create_as;
CREATE EVENT TRIGGER antipode_ddl ON ddl_command_end EXECUTE FUNCTION antipode.capture_ddl();
CREATE EVENT TRIGGER antipode_drop ON sql_drop EXECUTE FUNCTION antipode.capture_ddl();
CREATE EVENT TRIGGER antipode_create_as ON ddl_command_start
    WHEN TAG IN ('CREATE TABLE AS', 'SELECT INTO') EXECUTE FUNCTION antipode.capture_ddl();
)";

std::string with(std::string text, std::string_view place, const std::string& value) {
    for (size_t at = text.find(place); at != std::string::npos;
         at = text.find(place, at + value.size())) {
        text.replace(at, place.size(), value);
    }
    return text;
}

}  // namespace

std::string ddl_setup_sql(const std::string& role, Identities identities) {
    const bool given = identities == Identities::Given;
    return std::string("BEGIN READ WRITE;\n") +
           "-- Tells of no DDL of its own, should the triggers be there already.\n"
           "SET LOCAL session_replication_role = replica;\n"
           "SET LOCAL search_path = pg_catalog;\n"
           "CREATE SCHEMA IF NOT EXISTS antipode;\n" +
           capture_function + text_function + count_function + columns_function + objects_function +
           (given ? identity_function : no_identity_function) +
           with(emit_function, "@IDENTITIES@", given ? "true" : "false") +
           with(rights, "@ROLE@", quote_literal(role)) + triggers + "COMMIT;\n";
}

void run_ddl_setup(const std::string& url, const std::string& role, Identities identities) {
    Connection connection(url, "antipode database setup");
    try {
        connection.execute("setting up the capture of DDL", ddl_setup_sql(role, identities));
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "antipode database setup --url \"... user=postgres\", with a superuser; or "
                    "--dry-run, and run what it prints with psql");
    }
}

std::string role_of(const std::string& url) {
    try {
        return Connection(url, "antipode database setup")
            .query("asking for the role", "SELECT current_user")
            .string(0, 0);
    } catch (const Error&) {
        // It may be kept out until it is set up.
        if (const auto user = user_of(url)) {
            return *user;
        }
        throw;
    }
}

}  // namespace antipode::postgres
