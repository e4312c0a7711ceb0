#include "adapters/postgres/capture_setup.hpp"

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

/// With a superuser's rights, for the daemon's role alone. What give_identity() changes is captured
/// as DDL, so that mirrors get it, too. A mirror has no publication, but may become a primary.
constexpr const char* functions = R"sql(
CREATE OR REPLACE FUNCTION antipode.give_identity(relation regclass, index_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY %s', relation,
                   coalesce('USING INDEX ' || quote_ident(index_name), 'FULL'));
END $$;
CREATE OR REPLACE FUNCTION antipode.record_slot(publication text, note text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('COMMENT ON PUBLICATION %I IS %L', publication, note);
END $$;
CREATE OR REPLACE FUNCTION antipode.publish(publication text, wanted boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF publication <> @PUBLICATION@ THEN
        RAISE EXCEPTION 'the setup was for another publication, %', @PUBLICATION@;
    ELSIF wanted THEN
        EXECUTE format('CREATE PUBLICATION %I FOR ALL TABLES', publication);
    ELSE
        EXECUTE format('DROP PUBLICATION IF EXISTS %I', publication);
    END IF;
END $$;
REVOKE ALL ON FUNCTION antipode.give_identity(regclass, text), antipode.record_slot(text, text),
    antipode.publish(text, boolean) FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('ALTER ROLE %I REPLICATION BYPASSRLS', @ROLE@);
    EXECUTE format('GRANT EXECUTE ON FUNCTION antipode.give_identity(regclass, text), '
                   'antipode.record_slot(text, text), antipode.publish(text, boolean) TO %I',
                   @ROLE@);
END $$;
)sql";

/// @PUBLICATION@ is replaced by a literal, @SET@ by a boolean.
constexpr const char* rights = R"sql(
DO $$
DECLARE
    publication constant text := @PUBLICATION@;
    lacking text;
    one record;
BEGIN
    FOR one IN SELECT format('%I.%I', nspname, relname) AS name, candidate
               FROM (@TABLES@) t WHERE NOT usable LOOP
        IF @SET@ THEN
            PERFORM antipode.give_identity(one.name::regclass, one.candidate);
        ELSE
            lacking := concat_ws(', ', lacking, one.name);
        END IF;
    END LOOP;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'without a replica identity, updates and deletes would fail on %: ALTER '
            'TABLE ... REPLICA IDENTITY USING INDEX ... (unique, not null) or FULL, or '
            'replica_identity = "set"', lacking;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = publication) THEN
        PERFORM antipode.publish(publication, true);
    END IF;
END $$;
)sql";

void replace_all(std::string& text, std::string_view place, const std::string& with) {
    for (size_t at = text.find(place); at != std::string::npos;
         at = text.find(place, at + with.size())) {
        text.replace(at, place.size(), with);
    }
}

}  // namespace

std::string capture_functions_sql(const CaptureSetup& setup) {
    std::string sql = functions;
    replace_all(sql, "@ROLE@", quote_literal(setup.role));
    replace_all(sql, "@PUBLICATION@", quote_literal(setup.publication));
    return sql;
}

std::string capture_setup_sql(const CaptureSetup& setup) {
    std::string tables = identities_sql;
    replace_all(tables, "$1", quote_literal(setup.publication));
    std::string granted = rights;
    replace_all(granted, "@TABLES@", tables);
    replace_all(granted, "@SET@", setup.set_identities ? "true" : "false");
    replace_all(granted, "@PUBLICATION@", quote_literal(setup.publication));
    return std::string(
               "BEGIN;\n-- Tables are locked for a moment; others must not wait long.\n"
               "SET LOCAL lock_timeout = '10s';\nSET LOCAL search_path = pg_catalog;\n") +
           capture_functions_sql(setup) + granted + "COMMIT;\n";
}

void run_capture_setup(const std::string& url, const CaptureSetup& setup) {
    Connection connection(url, "antipode database setup");
    try {
        connection.execute("setting up the capture of rows", capture_setup_sql(setup));
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "antipode database setup --url \"... user=postgres\", with a superuser; or "
                    "--dry-run, and run what it prints with psql");
    }
}

}  // namespace antipode::postgres
