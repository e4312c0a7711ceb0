#include "adapters/postgres/canary.hpp"

#include "adapters/postgres/control.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

/// As the daemon's other tables: event triggers capture what makes a table anew.
constexpr const char* table_sql = R"(
    SET LOCAL session_replication_role = replica;
    CREATE SCHEMA IF NOT EXISTS antipode;
    CREATE TABLE IF NOT EXISTS antipode.canary (
        site_is_open boolean PRIMARY KEY CHECK (site_is_open), word text NOT NULL,
        written_at timestamptz NOT NULL DEFAULT now()))";
constexpr const char* write_sql =
    "INSERT INTO antipode.canary (site_is_open, word) VALUES (true, $1) "
    "ON CONFLICT (site_is_open) DO UPDATE SET word = excluded.word, written_at = now()";

std::string read(const std::string& url, const std::string& application_name) {
    Control control(url, application_name);
    return control.transaction([](Connection& connection) {
        const Rows rows =
            connection.query("reading the canary", "SELECT max(word) FROM antipode.canary");
        return rows.string(0, 0);
    });
}

}  // namespace

Lsn write_canary(const std::string& url, const std::string& application_name,
                 const std::string& word) {
    Control control(url, application_name);
    control.transaction([&](Connection& connection) {
        constexpr const char* doing = "writing a canary";
        const Rows there =
            connection.query(doing, "SELECT to_regclass('antipode.canary') IS NOT NULL");
        if (!there.boolean(0, 0)) {
            connection.execute(doing, table_sql);
        }
        connection.query(doing, write_sql, {word});
        return true;
    });
    if (const std::string seen = read(url, application_name); seen != word) {
        throw Error(Reaction::Retry, "the canary \"" + printable(word) + "\" was written, and \"" +
                                         printable(seen) + "\" is read");
    }
    return control.transaction([](Connection& connection) {
        const Rows end =
            connection.query("reading where the log ends", "SELECT pg_current_wal_flush_lsn()");
        return Lsn::parse(end.text(0, 0)).value_or(Lsn{});
    });
}

}  // namespace antipode::postgres
