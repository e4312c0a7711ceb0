#include "adapters/postgres/replica_bookkeeping.hpp"

#include "adapters/postgres/awaited_copy.hpp"
#include "adapters/postgres/skip_log.hpp"
#include "adapters/postgres/table_fill.hpp"

namespace antipode::postgres {
namespace {

/// Unless `antipode database setup` made it.
constexpr const char* create_schema = R"(
    CREATE SCHEMA antipode;
    COMMENT ON SCHEMA antipode IS 'Antipode: where replication of this database stands')";
constexpr const char* create_tables = R"(
    CREATE TABLE antipode.replica (
        store text PRIMARY KEY,
        epoch bigint NOT NULL, session bigint NOT NULL, number bigint NOT NULL,
        lsn pg_lsn NOT NULL, transactions bigint NOT NULL,
        phase text NOT NULL,
        schema_was_here boolean NOT NULL,
        after_script text NOT NULL, finish_script text NOT NULL
    ) WITH (fillfactor = 10);
    CREATE TABLE antipode.copied_table (
        store text NOT NULL, schema_name text NOT NULL, table_name text NOT NULL,
        snapshot text NOT NULL, wal_end pg_lsn NOT NULL, rows bigint NOT NULL,
        PRIMARY KEY (store, schema_name, table_name)
    ))";

/// What later versions added.
constexpr const char* create_more = R"(
    CREATE TABLE IF NOT EXISTS antipode.done_by_hand (
        store text NOT NULL, place text NOT NULL, PRIMARY KEY (store, place)
    ))";

}  // namespace

void create_bookkeeping(Connection& connection) {
    const Rows there = connection.query(
        "looking for the bookkeeping tables",
        "SELECT to_regclass('antipode.copied_table') IS NOT NULL, EXISTS (SELECT FROM pg_attribute "
        "WHERE attrelid = to_regclass('antipode.copied_table') AND attname = 'after_key'), "
        "to_regnamespace('antipode') IS NOT NULL, "
        "to_regclass('antipode.done_by_hand') IS NOT NULL, "
        "to_regclass('antipode.awaited_copy') IS NOT NULL, "
        "EXISTS (SELECT FROM pg_constraint WHERE conname = 'replica_phase_check' "
        "AND conrelid = to_regclass('antipode.replica')), "
        "to_regclass('antipode.repair') IS NOT NULL");
    // Each statement asks for what it makes itself: a daemon can be killed between any two.
    try {
        if (!there.boolean(0, 2)) {
            connection.execute("creating the schema antipode", create_schema);
        }
        if (!there.boolean(0, 0)) {
            connection.execute("creating the schema antipode", create_tables);
        }
        if (!there.boolean(0, 1)) {
            renew_copied_table(connection);
        }
        if (!there.boolean(0, 3)) {
            connection.execute("creating the schema antipode", create_more);
        }
        if (!there.boolean(0, 6)) {
            create_skip_tables(connection);
        }
        if (!there.boolean(0, 4)) {
            connection.execute("renewing the schema antipode", create_awaited_copy);
        }
        if (there.boolean(0, 5)) {
            // It knew fewer phases.
            connection.execute("renewing the schema antipode",
                               "ALTER TABLE antipode.replica DROP CONSTRAINT replica_phase_check");
        }
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "let the role create schemas: GRANT CREATE ON DATABASE name TO role; a schema "
                    "\"antipode\" of somebody else's must be renamed");
    }
}

}  // namespace antipode::postgres
