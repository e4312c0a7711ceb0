#include "adapters/postgres/check_log.hpp"

#include "base/error.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* reading = "reading the log of checks";
constexpr const char* recording = "recording a check";

constexpr const char* tables_sql = R"(
    SET LOCAL session_replication_role = replica;
    CREATE TABLE IF NOT EXISTS antipode.check_run (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, store text NOT NULL,
        asked_by text NOT NULL, mend boolean NOT NULL, schemas text[] NOT NULL DEFAULT '{}',
        tables text[] NOT NULL DEFAULT '{}', asked_at timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(), begun_at timestamptz, ended_at timestamptz,
        to_do bigint NOT NULL DEFAULT 0, problem text NOT NULL DEFAULT '', findings jsonb);
    CREATE TABLE IF NOT EXISTS antipode.check_result (
        store text NOT NULL, part text NOT NULL, schema_name text NOT NULL DEFAULT '',
        table_name text NOT NULL DEFAULT '', run bigint NOT NULL, verdict text NOT NULL,
        chunks bigint NOT NULL, rows bigint NOT NULL, detail jsonb NOT NULL,
        checked_at timestamptz NOT NULL DEFAULT now(), differs_since timestamptz,
        PRIMARY KEY (store, part, schema_name, table_name));
    ALTER TABLE antipode.check_run
        ADD COLUMN IF NOT EXISTS epoch bigint NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS listed text NOT NULL DEFAULT '';)";

constexpr const char* run_columns = R"(
    SELECT r.id, r.asked_by, r.mend, CASE
        WHEN r.ended_at IS NOT NULL AND r.problem <> '' THEN 'given up'
        WHEN r.ended_at IS NOT NULL THEN 'done' WHEN r.begun_at IS NOT NULL THEN 'running'
        ELSE 'waiting' END, r.problem, r.to_do, coalesce(d.tables, 0), coalesce(d.chunks, 0),
        coalesce(d.rows, 0), coalesce(r.findings, '[]'), r.listed
    FROM antipode.check_run r LEFT JOIN LATERAL (
        SELECT count(*) AS tables, sum(chunks)::bigint AS chunks, sum(rows)::bigint AS rows
        FROM antipode.check_result d WHERE d.run = r.id AND d.part = 'table') d ON true)";

/// Runs that are done are kept for those who ask how they ended; the newest of everything says how
/// old what is known is, and when the next one is due.
constexpr const char* forget_old_runs = R"(
    DELETE FROM antipode.check_run WHERE store = $1 AND ended_at IS NOT NULL AND id NOT IN (
        SELECT id FROM antipode.check_run WHERE store = $1 AND ended_at IS NOT NULL
        ORDER BY ended_at DESC LIMIT 50) AND id NOT IN (
        SELECT id FROM antipode.check_run WHERE store = $1 AND ended_at IS NOT NULL
        AND problem = '' AND tables = '{}' ORDER BY ended_at DESC LIMIT 1))";

std::string text_array(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) {
        list += (list.empty() ? "" : ", ") + quote_literal(word);
    }
    return "ARRAY[" + list + "]::text[]";
}

uint64_t number(const Rows& rows, int row, int column) {
    return static_cast<uint64_t>(rows.integer(row, column));
}

std::optional<int64_t> known(const Rows& rows, int row, int column) {
    return rows.is_null(row, column) ? std::nullopt : std::optional(rows.integer(row, column));
}

std::optional<CheckRun> read_run(Connection& connection, const Rows& rows) {
    if (rows.size() == 0) {
        return std::nullopt;
    }
    CheckRun run;
    run.id = rows.integer(0, 0);
    run.request.asked_by = rows.string(0, 1);
    run.request.mend = rows.boolean(0, 2);
    run.state = rows.text(0, 3) == "done"       ? CheckRun::State::Done
                : rows.text(0, 3) == "running"  ? CheckRun::State::Running
                : rows.text(0, 3) == "given up" ? CheckRun::State::GivenUp
                                                : CheckRun::State::Waiting;
    run.problem = rows.string(0, 4);
    run.tables = number(rows, 0, 5);
    run.tables_done = number(rows, 0, 6);
    run.chunks = number(rows, 0, 7);
    run.rows = number(rows, 0, 8);
    run.findings = rows.string(0, 9);
    run.request.listed = rows.string(0, 10);
    const Rows tables = connection.query(
        reading,
        "SELECT t.s, t.t FROM antipode.check_run r, unnest(r.schemas, r.tables) t(s, t) "
        "WHERE r.id = $1",
        {std::to_string(run.id)});
    for (int row = 0; row < tables.size(); ++row) {
        run.request.tables.push_back({tables.string(row, 0), tables.string(row, 1)});
    }
    return run;
}

}  // namespace

void create_check_tables(Connection& connection) {
    const Rows schema = connection.query(reading, "SELECT to_regnamespace('antipode') IS NOT NULL");
    if (schema.boolean(0, 0) && !are_check_tables_there(connection)) {
        connection.execute("creating the log of checks", tables_sql);
    }
}

bool are_check_tables_there(Connection& connection) {
    return connection
        .query(reading,
               "SELECT to_regclass('antipode.check_result') IS NOT NULL AND EXISTS (SELECT FROM "
               "pg_attribute WHERE attrelid = to_regclass('antipode.check_run') AND "
               "attname = 'listed')")
        .boolean(0, 0);
}

void schedule_check(Connection& connection, const std::string& store,
                    std::optional<std::chrono::milliseconds> every) {
    const std::string mine =
        " antipode.check_run WHERE store = $1 AND asked_by = '' AND ended_at IS NULL";
    if (!every) {
        connection.query(recording, "DELETE FROM" + mine, {store});
        return;
    }
    // Databases, and sites, begin at different times: each waits for up to a tenth more. One that
    // was never compared waits for up to a tenth alone. A shorter interval holds at once.
    connection.query(recording,
                     R"(
        WITH due AS (
            SELECT CASE WHEN max(ended_at) IS NULL THEN now() + random() * $2::interval / 10
                   ELSE max(ended_at) + (1 + random() / 10) * $2::interval END AS at
            FROM antipode.check_run WHERE store = $1 AND tables = '{}' AND problem = '')
        INSERT INTO antipode.check_run (store, asked_by, mend, due_at)
        SELECT $1, '', false, due.at FROM due WHERE NOT EXISTS (SELECT FROM)" +
                         mine + ")",
                     {store, std::to_string(every->count()) + "ms"});
    connection.query(recording,
                     "UPDATE antipode.check_run SET due_at = now() + 1.1 * $2::interval "
                     "WHERE store = $1 AND asked_by = '' AND ended_at IS NULL AND begun_at IS NULL "
                     "AND due_at > now() + 1.1 * $2::interval",
                     {store, std::to_string(every->count()) + "ms"});
}

std::optional<CheckRun> next_check(Connection& connection, const std::string& store,
                                   bool scheduled_too) {
    return read_run(connection,
                    connection.query(reading,
                                     std::string(run_columns) +
                                         " WHERE r.store = $1 AND r.ended_at IS NULL AND r.due_at "
                                         "<= now() AND (r.asked_by <> '' OR $2::boolean) "
                                         "ORDER BY r.asked_by = '', r.id LIMIT 1",
                                     {store, scheduled_too ? "t" : "f"}));
}

void begin_check(Connection& connection, int64_t id, uint64_t epoch, uint64_t tables) {
    connection.query(recording,
                     "UPDATE antipode.check_run SET begun_at = coalesce(begun_at, now()), "
                     "epoch = $2, to_do = $3 WHERE id = $1",
                     {std::to_string(id), std::to_string(epoch), std::to_string(tables)});
}

void give_up_checks_of_other_epochs(Connection& connection, const std::string& store,
                                    uint64_t epoch) {
    connection.query(recording,
                     "UPDATE antipode.check_run SET ended_at = now(), problem = 'it was asked for "
                     "when another site was the primary' WHERE store = $1 AND ended_at IS NULL AND "
                     "epoch NOT IN (0, $2)",
                     {store, std::to_string(epoch)});
}

std::set<std::pair<std::string, TableName>> parts_done(Connection& connection, int64_t id) {
    const Rows rows = connection.query(
        reading, "SELECT part, schema_name, table_name FROM antipode.check_result WHERE run = $1",
        {std::to_string(id)});
    std::set<std::pair<std::string, TableName>> done;
    for (int row = 0; row < rows.size(); ++row) {
        done.insert({rows.string(row, 0), {rows.string(row, 1), rows.string(row, 2)}});
    }
    return done;
}

void record_parts(Connection& connection, const std::string& store, int64_t id,
                  const std::vector<CheckedPart>& parts) {
    for (const CheckedPart& part : parts) {
        connection.query(
            recording, R"(
            INSERT INTO antipode.check_result AS r VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9,
                now(), CASE WHEN $6 = 'differs' THEN now() END)
            ON CONFLICT (store, part, schema_name, table_name) DO UPDATE SET run = $5, verdict = $6,
                chunks = $7, rows = $8, detail = $9, checked_at = now(), differs_since = CASE $6
                    WHEN 'differs' THEN coalesce(r.differs_since, now())
                    WHEN 'undecided' THEN r.differs_since END)",
            {store, part.part, part.table.schema, part.table.table, std::to_string(id),
             part.verdict, std::to_string(part.chunks), std::to_string(part.rows), part.detail});
    }
    note_check_problem(connection, id, "");
}

void note_check_problem(Connection& connection, int64_t id, const std::string& problem) {
    connection.query(
        recording, "UPDATE antipode.check_run SET problem = $2 WHERE id = $1 AND ended_at IS NULL",
        {std::to_string(id), problem});
}

std::string last_detail(Connection& connection, const std::string& store, const std::string& part) {
    const Rows rows = connection.query(
        reading, "SELECT detail FROM antipode.check_result WHERE store = $1 AND part = $2",
        {store, part});
    return rows.size() == 0 ? "{}" : rows.string(0, 0);
}

void finish_check(Connection& connection, const std::string& store, const CheckRun& run) {
    if (run.request.tables.empty()) {
        connection.query(recording,
                         "DELETE FROM antipode.check_result WHERE store = $1 AND run < $2 AND "
                         "checked_at < (SELECT begun_at FROM antipode.check_run WHERE id = $2)",
                         {store, std::to_string(run.id)});
    }
    connection.query(recording, R"(
        UPDATE antipode.check_run SET ended_at = now(), problem = '', findings = (
            SELECT coalesce(jsonb_agg(jsonb_build_object('part', part, 'schema', schema_name,
                'table', table_name, 'verdict', verdict, 'rows', rows, 'chunks', chunks,
                'differs_since_us', (extract(epoch FROM differs_since) * 1000000)::bigint,
                'detail', detail) ORDER BY part, schema_name, table_name), '[]')
            FROM antipode.check_result
            WHERE run = $1 AND (verdict <> 'equal' OR detail ? 'mended'))
        WHERE id = $1 AND ended_at IS NULL)",
                     {std::to_string(run.id)});
    connection.query(recording, forget_old_runs, {store});
}

CheckSummary summarize_checks(Connection& connection, const std::string& store) {
    CheckSummary summary;
    const Rows runs = connection.query(reading, R"(
        SELECT (extract(epoch FROM max(ended_at)
                FILTER (WHERE tables = '{}' AND problem = '')) * 1000000)::bigint,
            (extract(epoch FROM min(due_at) FILTER (WHERE asked_by = '' AND begun_at IS NULL
                                                    AND ended_at IS NULL)) * 1000000)::bigint
        FROM antipode.check_run WHERE store = $1)",
                                       {store});
    summary.finished_us = known(runs, 0, 0);
    summary.due_us = known(runs, 0, 1);
    const Rows results = connection.query(reading, R"(
        SELECT count(*) FILTER (WHERE part = 'table'), coalesce(sum(rows), 0)::bigint,
            count(*) FILTER (WHERE verdict = 'differs'),
            count(*) FILTER (WHERE verdict = 'undecided'),
            (extract(epoch FROM min(differs_since)) * 1000000)::bigint,
            coalesce(min(CASE part WHEN 'table' THEN schema_name || '.' || table_name ELSE part END)
                     FILTER (WHERE verdict = 'differs'), '')
        FROM antipode.check_result WHERE store = $1)",
                                          {store});
    summary.tables = number(results, 0, 0);
    summary.rows = number(results, 0, 1);
    summary.differing = number(results, 0, 2);
    summary.undecided = number(results, 0, 3);
    summary.differs_since_us = known(results, 0, 4);
    summary.first_differing = results.string(0, 5);
    summary.running = read_run(
        connection, connection.query(reading,
                                     std::string(run_columns) +
                                         " WHERE r.store = $1 AND r.ended_at IS NULL AND r.due_at "
                                         "<= now() ORDER BY r.begun_at IS NULL, r.asked_by = '', "
                                         "r.id LIMIT 1",
                                     {store}));
    return summary;
}

std::vector<std::pair<TableName, uint64_t>> sizes_of_tables(Connection& connection) {
    const Rows rows = connection.query(
        reading,
        // Not pg_table_size(), which waits for whoever has the table locked.
        "SELECT n.nspname, c.relname, (c.relpages + coalesce(t.relpages, 0))::bigint * "
        "current_setting('block_size')::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relkind = 'r'");
    std::vector<std::pair<TableName, uint64_t>> sizes;
    for (int row = 0; row < rows.size(); ++row) {
        sizes.push_back({{rows.string(row, 0), rows.string(row, 1)}, number(rows, row, 2)});
    }
    return sizes;
}

int64_t request_check(Connection& connection, const std::string& store,
                      const CheckRequest& request) {
    std::vector<std::string> schemas;
    std::vector<std::string> tables;
    for (const TableName& table : request.tables) {
        schemas.push_back(table.schema);
        tables.push_back(table.table);
    }
    return connection
        .query("asking for a check",
               "INSERT INTO antipode.check_run (store, asked_by, mend, listed, epoch, schemas, "
               "tables) VALUES ($1, $2, $3, $5, coalesce(nullif($4::bigint, 0), (SELECT epoch FROM "
               "antipode.replica WHERE store = $1), 0), " +
                   text_array(schemas) + ", " + text_array(tables) + ") RETURNING id",
               {store, request.asked_by, request.mend ? "t" : "f", std::to_string(request.epoch),
                request.listed})
        .integer(0, 0);
}

std::vector<int64_t> take_back_checks(Connection& connection, const std::string& store,
                                      const std::string& by) {
    const Rows rows = connection.query(
        recording,
        "UPDATE antipode.check_run SET ended_at = now(), problem = 'it was taken back by ' || $2 "
        "WHERE store = $1 AND ended_at IS NULL AND asked_by <> '' RETURNING id",
        {store, by});
    std::vector<int64_t> ids;
    for (int row = 0; row < rows.size(); ++row) {
        ids.push_back(rows.integer(row, 0));
    }
    return ids;
}

std::optional<CheckRun> look_at_check(Connection& connection, int64_t id) {
    return read_run(connection,
                    connection.query(reading, std::string(run_columns) + " WHERE r.id = $1",
                                     {std::to_string(id)}));
}

}  // namespace antipode::postgres
