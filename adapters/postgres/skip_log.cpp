#include "adapters/postgres/skip_log.hpp"

#include "base/error.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* reading = "reading what is to be skipped";
constexpr const char* recording = "recording a skipped transaction";

constexpr const char* tables_sql = R"(
    CREATE TABLE IF NOT EXISTS antipode.stopped (
        store text PRIMARY KEY, lsn pg_lsn NOT NULL, problem text NOT NULL,
        at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS antipode.skip_request (
        store text NOT NULL, lsn pg_lsn NOT NULL, schema_name text NOT NULL DEFAULT '',
        table_name text NOT NULL DEFAULT '', repair boolean NOT NULL, asked_by text NOT NULL,
        asked_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (store, lsn));
    CREATE TABLE IF NOT EXISTS antipode.skipped (
        store text NOT NULL, lsn pg_lsn NOT NULL, xid bigint NOT NULL,
        schema_name text NOT NULL, table_name text NOT NULL, tables text[] NOT NULL,
        changes bigint NOT NULL, keys text NOT NULL, problem text NOT NULL,
        repair boolean NOT NULL, asked_by text NOT NULL, asked_at timestamptz NOT NULL,
        skipped_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS antipode.repair (
        store text NOT NULL, schema_name text NOT NULL, table_name text NOT NULL,
        lsn pg_lsn NOT NULL, PRIMARY KEY (store, schema_name, table_name, lsn)))";

std::string text_array(const std::vector<TableName>& tables) {
    std::string list;
    for (const TableName& table : tables) {
        list += (list.empty() ? "" : ", ") + quote_literal(table.to_string());
    }
    return "ARRAY[" + list + "]::text[]";
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return lines;
}

/// The daemon makes the tables when it first connects; a primary has none.
bool are_there(Connection& connection) {
    return connection
        .query(reading,
               "SELECT to_regclass('antipode.stopped') IS NOT NULL AND "
               "to_regclass('antipode.replica') IS NOT NULL AND "
               "to_regclass('antipode.repair') IS NOT NULL")
        .boolean(0, 0);
}

Lsn lsn_of(const Rows& rows, int row, int column) {
    return Lsn::parse(rows.text(row, column)).value_or(Lsn{});
}

}  // namespace

void create_skip_tables(Connection& connection) {
    connection.execute("creating the schema antipode", tables_sql);
}

void read_skips(Connection& connection, const std::string& store, ReplicaState& state) {
    const Rows asked =
        connection.query(reading,
                         "SELECT lsn, schema_name, table_name, repair, asked_by, asked_at FROM "
                         "antipode.skip_request WHERE store = $1",
                         {store});
    for (int row = 0; row < asked.size(); ++row) {
        SkipRequest request{lsn_of(asked, row, 0), std::nullopt, asked.boolean(row, 3),
                            asked.string(row, 4), asked.string(row, 5)};
        if (!asked.text(row, 2).empty()) {
            request.table = TableName{asked.string(row, 1), asked.string(row, 2)};
        }
        state.skips.push_back(std::move(request));
    }
    const Rows repair = connection.query(
        reading, "SELECT DISTINCT schema_name, table_name FROM antipode.repair WHERE store = $1",
        {store});
    for (int row = 0; row < repair.size(); ++row) {
        state.to_repair.push_back({repair.string(row, 0), repair.string(row, 1)});
    }
}

void note_stopped(Connection& connection, const std::string& store, Lsn lsn,
                  const std::string& problem) {
    connection.query("noting where apply stands",
                     "INSERT INTO antipode.stopped VALUES ($1, $2, $3) ON CONFLICT (store) DO "
                     "UPDATE SET at = CASE WHEN stopped.lsn = $2 THEN stopped.at ELSE now() END, "
                     "lsn = $2, problem = $3",
                     {store, lsn.to_string(), problem});
}

void record_skip(Connection& connection, const std::string& store,
                 const SkippedTransaction& skipped) {
    const SkipRequest& request = skipped.request;
    const TableName table = request.table.value_or(TableName{});
    // Of structure alone there is nothing to copy.
    const bool repair = request.repair && !skipped.tables.empty();
    connection.query(
        recording,
        "INSERT INTO antipode.skipped SELECT $1, $2, $3, $4, $5, " + text_array(skipped.tables) +
            ", $6, $7, coalesce((SELECT problem FROM antipode.stopped WHERE store = $1 "
            "AND lsn = $2), ''), $8, $9, $10",
        {store, request.lsn.to_string(), std::to_string(skipped.xid), table.schema, table.table,
         std::to_string(skipped.changes), skipped.keys, repair ? "t" : "f", request.asked_by,
         request.asked_at});
    connection.query(recording, "DELETE FROM antipode.skip_request WHERE store = $1 AND lsn = $2",
                     {store, request.lsn.to_string()});
    for (const TableName& one : skipped.tables) {
        if (repair) {
            connection.query(recording,
                             "INSERT INTO antipode.repair VALUES ($1, $2, $3, $4) ON CONFLICT DO "
                             "NOTHING",
                             {store, one.schema, one.table, request.lsn.to_string()});
        }
    }
}

void forget_repair(Connection& connection, const std::string& store, const TableName& table) {
    connection.query(recording,
                     "DELETE FROM antipode.repair WHERE store = $1 AND schema_name = $2 AND "
                     "table_name = $3",
                     {store, table.schema, table.table});
}

void note_unrepaired(Connection& connection, const std::string& store, const TableName& table) {
    connection.query(recording,
                     "UPDATE antipode.skipped s SET repair = false FROM antipode.repair r WHERE "
                     "s.store = $1 AND r.store = $1 AND r.schema_name = $2 AND r.table_name = $3 "
                     "AND r.lsn = s.lsn",
                     {store, table.schema, table.table});
}

std::optional<Stopped> stopped_at(Connection& connection, const std::string& store) {
    if (!are_there(connection)) {
        return std::nullopt;
    }
    // What commits below the position is applied.
    const Rows rows = connection.query(
        reading,
        "SELECT s.lsn, s.problem, s.at FROM antipode.stopped s JOIN antipode.replica r "
        "USING (store) WHERE store = $1 AND s.lsn >= r.lsn",
        {store});
    if (rows.size() == 0) {
        return std::nullopt;
    }
    return Stopped{lsn_of(rows, 0, 0), rows.string(0, 1), rows.string(0, 2)};
}

void request_skip(Connection& connection, const std::string& store, const SkipRequest& request) {
    const TableName table = request.table.value_or(TableName{});
    connection.query("asking for a transaction to be skipped",
                     "INSERT INTO antipode.skip_request VALUES ($1, $2, $3, $4, $5, $6) ON "
                     "CONFLICT (store, lsn) DO UPDATE SET schema_name = $3, table_name = $4, "
                     "repair = $5, asked_by = $6, asked_at = now()",
                     {store, request.lsn.to_string(), table.schema, table.table,
                      request.repair ? "t" : "f", request.asked_by});
}

std::vector<Skipped> list_skipped(Connection& connection, const std::string& store) {
    if (!are_there(connection)) {
        return {};
    }
    const Rows rows = connection.query(reading, R"(
        SELECT s.lsn, s.xid, CASE WHEN s.table_name <> '' THEN s.schema_name || '.' ||
          s.table_name ELSE '' END, array_to_string(s.tables, E'\n'), s.changes, s.keys, s.problem,
          s.asked_by, s.asked_at, s.skipped_at, CASE WHEN NOT s.repair THEN 'none' WHEN EXISTS
          (SELECT FROM antipode.repair r WHERE r.store = s.store AND r.lsn = s.lsn) THEN 'pending'
          ELSE 'done' END
        FROM antipode.skipped s WHERE s.store = $1 ORDER BY s.lsn, s.skipped_at)",
                                       {store});
    std::vector<Skipped> list;
    for (int row = 0; row < rows.size(); ++row) {
        list.push_back({lsn_of(rows, row, 0), static_cast<uint64_t>(rows.integer(row, 1)),
                        rows.string(row, 2), lines_of(rows.text(row, 3)),
                        static_cast<uint64_t>(rows.integer(row, 4)), rows.string(row, 5),
                        rows.string(row, 6), rows.string(row, 7), rows.string(row, 8),
                        rows.string(row, 9), rows.string(row, 10)});
    }
    return list;
}

}  // namespace antipode::postgres
