#include "adapters/postgres/chunk_sql.hpp"

#include <algorithm>
#include <array>

namespace antipode::postgres {
namespace {

constexpr uint64_t fewest_rows = 16;
constexpr uint64_t most_chunks = 20'000;
constexpr uint64_t guessed_row_bytes = 100;
constexpr const char* label_characters = "200";

/// Ordered alike on every server.
constexpr std::array range_types = {"smallint", "integer",
                                    "bigint",   "numeric",
                                    "date",     "timestamp without time zone",
                                    "uuid",     "timestamp with time zone"};

std::string doing(const char* what, const TableName& table) {
    return std::string(what) + " " + table.to_string();
}

std::string row_text(const std::vector<std::string>& columns) {
    return "ROW(" + column_list(columns) + ")::text COLLATE \"C\"";
}

std::string hash_of(const std::vector<std::string>& columns) {
    return "hashtextextended(" + row_text(columns) + ", 0)";
}

/// "name" or 'name', "type": of an array literal.
std::string array_element(const std::string& text) {
    std::string element = "\"";
    for (const char c : text) {
        element += c == '"' || c == '\\' ? "\\" : "";
        element += c;
    }
    return element + "\"";
}

template <typename Items, typename Show>
std::string array_of(const Items& items, Show show) {
    std::string array;
    for (const auto& item : items) {
        array += (array.empty() ? "" : ",") + show(item);
    }
    return "{" + array + "}";
}

/// The number of a row's chunk.
std::string chunk_of(const ChunkPlan& plan) {
    if (plan.chunks() <= 1) {
        return "0";
    }
    if (!plan.range_type.empty()) {
        return "width_bucket(" + quote_identifier(plan.key.front()) + ", " +
               quote_literal(array_of(plan.bounds, array_element)) + "::" + plan.range_type + "[])";
    }
    return "((" + key_hash(plan) + " & 9223372036854775807) % " + std::to_string(plan.buckets) +
           ")::integer";
}

/// "id" >= '10' AND "id" < '20', which an index serves.
std::string in_range(const ChunkPlan& plan, uint32_t chunk) {
    const std::string column = quote_identifier(plan.key.front());
    std::string condition = "true";
    if (chunk > 0) {
        condition += " AND " + column + " >= " + quote_literal(plan.bounds[chunk - 1]) +
                     "::" + plan.range_type;
    }
    if (chunk < plan.bounds.size()) {
        condition +=
            " AND " + column + " < " + quote_literal(plan.bounds[chunk]) + "::" + plan.range_type;
    }
    return "(" + condition + ")";
}

std::string where(const ChunkPlan& plan, const std::set<uint32_t>& chunks) {
    return chunks.empty() ? "" : " WHERE " + in_chunks(plan, chunks);
}

RowsDigest digest_at(const Rows& rows, int row, int column) {
    return {static_cast<uint64_t>(rows.integer(row, column)), rows.string(row, column + 1)};
}

struct TableSize {
    uint64_t rows = 0;
    uint64_t row_bytes = guessed_row_bytes;
};

/// What is known without reading it.
TableSize estimate(Connection& connection, const TableName& table) {
    const Rows rows = connection.query(
        doing("estimating", table),
        "SELECT reltuples::bigint, pg_table_size(oid) FROM pg_class WHERE oid = $1::regclass",
        {qualified(table)});
    const auto bytes = static_cast<uint64_t>(rows.integer(0, 1));
    TableSize size;
    size.rows = bytes / guessed_row_bytes;
    if (rows.integer(0, 0) > 0) {
        size.rows = static_cast<uint64_t>(rows.integer(0, 0));
        size.row_bytes = std::max<uint64_t>(bytes / size.rows, 1);
    }
    return size;
}

/// Names and types of the columns that tell rows apart.
void choose_key(Connection& connection, ChunkPlan& plan) {
    const Rows rows = connection.query(doing("looking up the key of", plan.table), R"(
        SELECT a.attname, format_type(a.atttypid, NULL), a.attgenerated <> ''
        FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
        CROSS JOIN generate_series(0, i.indnkeyatts - 1) k
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]
        WHERE c.oid = $1::regclass
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
        ORDER BY k)",
                                       {qualified(plan.table)});
    bool usable = rows.size() > 0;
    for (int row = 0; row < rows.size(); ++row) {
        plan.key.push_back(rows.string(row, 0));
        usable = usable && !rows.boolean(row, 2);
    }
    if (!usable) {
        plan.key = plan.columns;
        plan.whole_row = true;
        return;
    }
    const bool ranges = rows.size() == 1 && std::find(range_types.begin(), range_types.end(),
                                                      rows.text(0, 1)) != range_types.end();
    plan.range_type = ranges ? rows.string(0, 1) : "";
}

std::vector<std::string> find_bounds(Connection& connection, const ChunkPlan& plan, uint64_t step) {
    const std::string every = std::to_string(step);
    const Rows rows = connection.query(
        doing("cutting", plan.table),
        "SELECT k FROM (SELECT " + quote_identifier(plan.key.front()) +
            " AS k, row_number() OVER (ORDER BY " + quote_identifier(plan.key.front()) +
            ") AS n FROM ONLY " + qualified(plan.table) + ") numbered WHERE n > " + every +
            " AND n % " + every + " = " + (step == 1 ? "0" : "1") + " ORDER BY k");
    std::vector<std::string> bounds;
    for (int row = 0; row < rows.size(); ++row) {
        bounds.push_back(rows.string(row, 0));
    }
    return bounds;
}

}  // namespace

bool is_unreadable(std::string_view sqlstate) {
    constexpr std::array<std::string_view, 3> states = {"42501", "55P03", "57014"};
    constexpr std::array<std::string_view, 5> classes = {"22", "53", "54", "58", "XX"};
    return std::find(states.begin(), states.end(), sqlstate) != states.end() ||
           std::find(classes.begin(), classes.end(), sqlstate.substr(0, 2)) != classes.end();
}

std::string column_list(const std::vector<std::string>& columns) {
    std::string list;
    for (const std::string& column : columns) {
        list += (list.empty() ? "" : ", ") + quote_identifier(column);
    }
    return list;
}

std::string key_hash(const ChunkPlan& plan) {
    return hash_of(plan.key);
}

std::string row_hash(const ChunkPlan& plan) {
    return hash_of(plan.columns);
}

std::string in_chunks(const ChunkPlan& plan, const std::set<uint32_t>& chunks) {
    if (plan.chunks() <= 1) {
        return "true";
    }
    if (plan.range_type.empty()) {
        const auto number = [](uint32_t chunk) { return std::to_string(chunk); };
        return chunk_of(plan) + " = ANY ('" + array_of(chunks, number) + "'::integer[])";
    }
    std::string condition;
    for (const uint32_t chunk : chunks) {
        condition += (condition.empty() ? "" : " OR ") + in_range(plan, chunk);
    }
    return "(" + condition + ")";
}

ChunkPlan make_plan(Connection& connection, const TableName& table, const ChunkSizes& sizes) {
    ChunkPlan plan;
    plan.table = table;
    const Rows columns = connection.query(
        doing("looking up", table),
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' ORDER BY attname COLLATE \"C\"",
        {qualified(table)});
    for (int row = 0; row < columns.size(); ++row) {
        plan.columns.push_back(columns.string(row, 0));
    }
    choose_key(connection, plan);
    const TableSize size = estimate(connection, table);
    const uint64_t step = std::max(
        std::clamp(sizes.bytes / size.row_bytes, std::min(fewest_rows, sizes.rows), sizes.rows),
        size.rows / most_chunks);
    if (plan.range_type.empty()) {
        plan.buckets =
            static_cast<uint32_t>(std::clamp<uint64_t>(size.rows / step, 1, most_chunks));
    } else {
        plan.bounds = find_bounds(connection, plan, step);
    }
    return plan;
}

bool is_readable(Connection& connection, const TableName& table) {
    // What the name means now is looked up before the lock, which would be an error without one.
    const Rows there = connection.query(doing("looking up", table),
                                        "SELECT to_regclass($1) IS NOT NULL", {qualified(table)});
    if (!there.boolean(0, 0)) {
        return false;
    }
    connection.execute(doing("locking", table),
                       "LOCK TABLE ONLY " + qualified(table) + " IN ACCESS SHARE MODE");
    // The left side is what the snapshot sees, the right side what there is.
    const Rows same =
        connection.query(doing("looking up", table),
                         "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                         "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r' "
                         "AND c.relfilenode = pg_relation_filenode(to_regclass($3))",
                         {table.schema, table.table, qualified(table)});
    return same.size() == 1;
}

ChunkDigests read_digests(Connection& connection, const ChunkPlan& plan,
                          const std::set<uint32_t>& chunks) {
    const Rows rows = connection.query(doing("computing digests of", plan.table),
                                       "SELECT chunk, count(*), sum(hash) FROM (SELECT " +
                                           chunk_of(plan) + " AS chunk, " + row_hash(plan) +
                                           " AS hash FROM ONLY " + qualified(plan.table) +
                                           where(plan, chunks) + ") hashed GROUP BY chunk");
    ChunkDigests digests;
    for (int row = 0; row < rows.size(); ++row) {
        digests[static_cast<uint32_t>(rows.integer(row, 0))] = digest_at(rows, row, 1);
    }
    return digests;
}

KeyDigests read_keys(Connection& connection, const ChunkPlan& plan,
                     const std::set<uint32_t>& chunks) {
    const Rows rows = connection.query(
        doing("comparing rows of", plan.table),
        "SELECT id, min(chunk), min(label), count(*), sum(hash) FROM (SELECT " + key_hash(plan) +
            " AS id, " + chunk_of(plan) + " AS chunk, left(" + row_text(plan.key) + ", " +
            label_characters + ") AS label, " + row_hash(plan) + " AS hash FROM ONLY " +
            qualified(plan.table) + where(plan, chunks) + ") hashed GROUP BY id");
    KeyDigests keys;
    for (int row = 0; row < rows.size(); ++row) {
        keys[rows.integer(row, 0)] = {static_cast<uint32_t>(rows.integer(row, 1)),
                                      rows.string(row, 2), digest_at(rows, row, 3)};
    }
    return keys;
}

TouchedKeys find_touched(Connection& connection, const ChunkPlan& plan,
                         const TouchedRows& touched) {
    TouchedKeys found;
    found.all = touched.all;
    if (found.all || touched.rows.empty()) {
        return found;
    }
    std::string fields;
    std::string arrays;
    Parameters values;
    for (const std::string& column : plan.key) {
        const auto place = std::find(touched.columns.begin(), touched.columns.end(), column);
        if (place == touched.columns.end()) {
            found.all = true;
            return found;
        }
        const auto index = static_cast<size_t>(place - touched.columns.begin());
        const auto value = [&](const std::vector<std::optional<std::string>>& row) {
            return row[index] ? array_element(*row[index]) : std::string("NULL");
        };
        values.emplace_back(array_of(touched.rows, value));
        const Rows type =
            connection.query(doing("looking up", plan.table),
                             "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
                             "WHERE attrelid = $1::regclass AND attname = $2 AND NOT attisdropped",
                             {qualified(plan.table), column});
        if (type.size() == 0) {
            found.all = true;
            return found;
        }
        const std::string name = quote_identifier(column);
        fields += (fields.empty() ? "given." : ", given.") + name + "::" + type.string(0, 0) +
                  " AS " + name;
        arrays += (arrays.empty() ? "$" : ", $") + std::to_string(values.size()) + "::text[]";
    }
    found.all = plan.key.empty();
    if (found.all) {
        return found;
    }
    const Rows rows = connection.query(doing("looking for changes of", plan.table),
                                       "SELECT DISTINCT " + chunk_of(plan) + ", " + key_hash(plan) +
                                           " FROM (SELECT " + fields + " FROM unnest(" + arrays +
                                           ") AS given(" + column_list(plan.key) + ")) touched",
                                       values);
    for (int row = 0; row < rows.size(); ++row) {
        found.chunks.insert(static_cast<uint32_t>(rows.integer(row, 0)));
        found.keys.insert(rows.integer(row, 1));
    }
    return found;
}

}  // namespace antipode::postgres
