#include "adapters/postgres/target_table.hpp"

#include <algorithm>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

std::string add(TargetTable::Statement& statement, bool of_old, size_t column) {
    statement.parameters.push_back({of_old, column});
    return "$" + std::to_string(statement.parameters.size());
}

void append(std::string& list, const std::string& element, const char* separator = ", ") {
    list += (list.empty() ? "" : separator) + element;
}

/// Unique indexes that always hold for whole tables, the primary key first, with the equality
/// operator (btree strategy 3) of each column's operator class.
constexpr const char* unique_indexes_sql = R"(
    SELECT i.indexrelid, a.attname,
      'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
    FROM pg_index i
    CROSS JOIN generate_series(0, i.indnkeyatts - 1) k
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
    JOIN pg_opclass c ON c.oid = i.indclass[k]
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
      AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    JOIN pg_operator o ON o.oid = m.amopopr
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid, k)";

/// Indexes that are good for looking values up, with the same of each leading column that is never
/// null.
constexpr const char* other_indexes_sql = R"(
    SELECT i.indexrelid, a.attname,
      'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
    FROM pg_index i
    CROSS JOIN generate_series(0, i.indnkeyatts - 1) k
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
    JOIN pg_opclass c ON c.oid = i.indclass[k]
    JOIN pg_am b ON b.oid = c.opcmethod AND b.amname = 'btree'
    JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
      AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
    JOIN pg_operator o ON o.oid = m.amopopr
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM generate_series(0, k) l LEFT JOIN pg_attribute e
        ON e.attrelid = i.indrelid AND e.attnum = i.indkey[l]
        WHERE NOT coalesce(e.attnotnull AND e.attgenerated = '', false))
    ORDER BY count(*) OVER (PARTITION BY i.indexrelid) DESC, i.indexrelid, k)";

/// Of a type that has the same number everywhere; nothing where that is not known.
std::string how_to_add(Connection& connection, const TableName& table, const ColumnShape& column) {
    constexpr uint32_t first_of_users = 16384;
    if (column.type_oid >= first_of_users) {
        return {};
    }
    const Rows type =
        connection.query("looking up a type", "SELECT format_type($1::oid, $2::int)",
                         {std::to_string(column.type_oid), std::to_string(column.type_modifier)});
    return " (ALTER TABLE " + qualified(table) + " ADD COLUMN " + quote_identifier(column.name) +
           " " + type.string(0, 0) + ")";
}

}  // namespace

std::optional<TargetTable> TargetTable::find(Connection& connection, const RelationShape& source,
                                             std::string& problem) {
    TargetTable table;
    if (!table.read_table(connection, source, problem) ||
        !table.read_columns(connection, source, problem)) {
        return std::nullopt;
    }
    table.choose_key(connection, source);
    if (table.key_.empty()) {
        table.choose_finder(connection, source);
    }
    return table;
}

bool TargetTable::read_table(Connection& connection, const RelationShape& source,
                             std::string& problem) {
    const Rows rows = connection.query(
        "looking up " + source.name.to_string(),
        "SELECT c.oid, c.relkind, "
        "EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('A', 'R')) "
        "OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled IN ('A', 'R')) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
        {source.name.schema, source.name.table});
    if (rows.size() == 0) {
        problem = "there is no such table on this site";
        return false;
    }
    oid_ = rows.string(0, 0);
    partitioned_ = rows.text(0, 1) == "p";
    fires_always_ = rows.boolean(0, 2);
    into_ = quote_identifier(source.name.schema) + "." + quote_identifier(source.name.table);
    from_ = (partitioned_ ? "" : "ONLY ") + into_;
    return true;
}

bool TargetTable::read_columns(Connection& connection, const RelationShape& source,
                               std::string& problem) {
    const Rows rows = connection.query(
        "looking up " + source.name.to_string(),
        "SELECT attname, format_type(atttypid, atttypmod), attgenerated <> '', attidentity = 'a', "
        "attnotnull, t.typarray <> 0 AND t.typcategory NOT IN ('A', 'C') AND t.typdelim = ',' "
        "FROM pg_attribute JOIN pg_type t ON t.oid = atttypid "
        "WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
        {oid_});
    size_t written_here = 0;
    for (int row = 0; row < rows.size(); ++row) {
        written_here += rows.boolean(row, 2) ? 0 : 1;
    }
    for (const ColumnShape& wanted : source.columns) {
        int row = 0;
        while (row < rows.size() && rows.text(row, 0) != wanted.name) {
            ++row;
        }
        if (row == rows.size()) {
            problem = "the table has no column \"" + wanted.name + "\" on this site" +
                      how_to_add(connection, source.name, wanted);
            return false;
        }
        columns_.push_back({.name = quote_identifier(wanted.name),
                            .type = rows.string(row, 1),
                            .in_array = rows.boolean(row, 5),
                            .generated = rows.boolean(row, 2),
                            .identity_always = rows.boolean(row, 3),
                            .not_null = rows.boolean(row, 4)});
    }
    // Columns that only this site has would not come back with a row's new copy.
    const auto written = std::count_if(columns_.begin(), columns_.end(),
                                       [](const Column& column) { return !column.generated; });
    is_bag_ = source.replica_identity == 'f' && written > 0 &&
              static_cast<size_t>(written) == written_here;
    return true;
}

void TargetTable::choose_key(Connection& connection, const RelationShape& source) {
    const bool whole_row = source.replica_identity == 'f';
    size_t key_columns = 0;
    for (size_t i = 0; i < source.columns.size(); ++i) {
        if (source.columns[i].key && !columns_[i].generated) {
            identity_.push_back(i);
            ++key_columns;
        }
    }
    const Rows rows = connection.query("looking up the keys of " + source.name.to_string(),
                                       unique_indexes_sql, {oid_});
    for (int row = 0; row < rows.size();) {
        const std::string index = rows.string(row, 0);
        std::vector<KeyColumn> key;
        bool usable = true;
        for (; row < rows.size() && rows.text(row, 0) == index; ++row) {
            const auto column = std::find_if(
                source.columns.begin(), source.columns.end(),
                [&](const ColumnShape& candidate) { return candidate.name == rows.text(row, 1); });
            const auto i = static_cast<size_t>(column - source.columns.begin());
            usable = usable && column != source.columns.end() && column->key &&
                     (!whole_row || columns_[i].not_null);
            key.push_back({i, rows.string(row, 2)});
        }
        // A whole old row has every column, so that any key of this site's table will do.
        if (usable && (whole_row || key.size() == key_columns)) {
            key_ = std::move(key);
            is_bag_ = false;
            return;
        }
    }
}

/// The index with the most columns that never are null; they must be among those that are compared
/// anyway.
void TargetTable::choose_finder(Connection& connection, const RelationShape& source) {
    const Rows rows = connection.query("looking up the indexes of " + source.name.to_string(),
                                       other_indexes_sql, {oid_});
    for (int row = 0; row < rows.size() && rows.text(row, 0) == rows.text(0, 0); ++row) {
        const auto column = std::find_if(identity_.begin(), identity_.end(), [&](size_t candidate) {
            return source.columns[candidate].name == rows.text(row, 1);
        });
        if (column == identity_.end()) {
            break;
        }
        finder_.push_back({*column, rows.string(row, 2)});
    }
    if (!finder_.empty()) {
        known_sql_ =
            "EXISTS (SELECT FROM pg_stats s JOIN pg_class c ON c.relname = s.tablename JOIN "
            "pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname WHERE c.oid = " +
            oid_ + " AND s.attname = " + quote_literal(rows.string(0, 1)) + ")";
    }
}

bool TargetTable::is_key(size_t column) const {
    return std::any_of(key_.begin(), key_.end(),
                       [&](const KeyColumn& key) { return key.column == column; });
}

std::string TargetTable::where(Statement& statement, bool of_old) const {
    std::string condition;
    for (const KeyColumn& key : key_.empty() ? finder_ : key_) {
        // The operator's own type may be another: regclass is compared as oid.
        append(condition,
               columns_[key.column].name + " " + key.equality + " " +
                   add(statement, of_old, key.column) + "::" + columns_[key.column].type,
               " AND ");
    }
    if (!key_.empty()) {
        return condition;
    }
    for (const size_t column : identity_) {
        // Through the type and back to text, so that both sides are written alike; byte by byte,
        // because some types have no equality, and some collations call different texts equal.
        append(condition,
               columns_[column].name + "::text COLLATE \"C\" IS NOT DISTINCT FROM " +
                   add(statement, of_old, column) + "::" + columns_[column].type + "::text",
               " AND ");
    }
    if (partitioned_) {
        return "(tableoid, ctid) = (SELECT tableoid, ctid FROM " + from_ + " WHERE " + condition +
               " LIMIT 1)";
    }
    return "ctid = (SELECT ctid FROM " + from_ + " WHERE " + condition + " LIMIT 1)";
}

TargetTable::Statement TargetTable::insert() const {
    Statement statement;
    std::string names;
    std::string values;
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (!columns_[i].generated) {
            append(names, columns_[i].name);
            append(values, add(statement, false, i));
        }
    }
    statement.sql =
        "INSERT INTO " + into_ +
        (names.empty() ? " DEFAULT VALUES"
                       : " (" + names + ") OVERRIDING SYSTEM VALUE VALUES (" + values + ")");
    return statement;
}

TargetTable::Statement TargetTable::update(bool has_old, const std::vector<bool>& unchanged) const {
    if (may_change_identity(has_old)) {
        return replace(has_old, unchanged);
    }
    Statement statement;
    std::string set;
    for (size_t i = 0; i < columns_.size(); ++i) {
        const bool key_stays = !has_old && is_key(i);
        if (!unchanged[i] && !key_stays && !columns_[i].generated && !columns_[i].identity_always) {
            append(set, columns_[i].name + " = " + add(statement, false, i));
        }
    }
    const std::string condition = where(statement, has_old);
    // Nothing but the key: then only look whether the row is there.
    statement.sql = (set.empty() ? "SELECT FROM " + from_ : "UPDATE " + from_ + " SET " + set) +
                    " WHERE " + condition;
    return statement;
}

/// Whether an update may give a new value to a GENERATED ALWAYS identity (SET ... = DEFAULT).
bool TargetTable::may_change_identity(bool has_old) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (columns_[i].identity_always && (has_old || !is_key(i))) {
            return true;
        }
    }
    return false;
}

/// UPDATE cannot write such a column; INSERT can.
TargetTable::Statement TargetTable::replace(bool has_old,
                                            const std::vector<bool>& unchanged) const {
    Statement statement;
    std::string names;
    std::string values;
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (!columns_[i].generated) {
            append(names, columns_[i].name);
            append(values, unchanged[i] ? "gone." + columns_[i].name
                                        : add(statement, false, i) + "::" + columns_[i].type);
        }
    }
    statement.sql = "DELETE FROM " + from_ + " WHERE " + where(statement, has_old);
    statement.sql = "WITH gone AS (" + statement.sql + " RETURNING *) INSERT INTO " + into_ + " (" +
                    names + ") OVERRIDING SYSTEM VALUE SELECT " + values + " FROM gone";
    return statement;
}

TargetTable::Statement TargetTable::remove() const {
    Statement statement;
    statement.sql = "DELETE FROM " + from_ + " WHERE " + where(statement, true);
    return statement;
}

std::vector<size_t> TargetTable::key() const {
    std::vector<size_t> columns;
    for (const KeyColumn& key : key_) {
        columns.push_back(key.column);
    }
    return columns;
}

TargetTable::Statement TargetTable::copy() const {
    Statement statement;
    std::string names;
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (!columns_[i].generated) {
            append(names, columns_[i].name);
            statement.parameters.push_back({false, i});
        }
    }
    statement.sql = "COPY " + into_ + " (" + names + ") FROM STDIN";
    return statement;
}

/// " unnest(...) v (c0, c1) WHERE t.id = v.c0", given that the first parameters are the key's. A
/// value whose type has no place in an array literal travels as text.
std::string TargetTable::join_by_key(const Statement& statement) const {
    std::string condition;
    for (size_t i = 0; i < key_.size(); ++i) {
        append(condition,
               "t." + columns_[key_[i].column].name + " " + key_[i].equality + " " +
                   value_of(statement, i),
               " AND ");
    }
    return " " + arrays_of(statement) + " WHERE " + condition;
}

/// "t.id = ANY ($1::integer[])"
std::string TargetTable::is_any_of_array(const KeyColumn& key) const {
    const Column& column = columns_[key.column];
    return "t." + column.name + " " + key.equality + " ANY ($1::" + column.type + "[])";
}

std::string TargetTable::arrays_of(const Statement& statement) const {
    std::string arrays;
    std::string names;
    for (size_t i = 0; i < statement.parameters.size(); ++i) {
        const Column& column = columns_[statement.parameters[i].column];
        append(arrays, "$" + std::to_string(i + 1) +
                           "::" + (column.in_array ? column.type : "text") + "[]");
        append(names, "c" + std::to_string(i));
    }
    return "unnest(" + arrays + ") v (" + names + ")";
}

std::string TargetTable::value_of(const Statement& statement, size_t parameter) const {
    const Column& column = columns_[statement.parameters[parameter].column];
    return "v.c" + std::to_string(parameter) + (column.in_array ? "" : "::" + column.type);
}

std::optional<TargetTable::Statement> TargetTable::update_many(
    const std::vector<bool>& unchanged) const {
    if (may_change_identity(false)) {
        return std::nullopt;
    }
    Statement statement;
    for (const KeyColumn& key : key_) {
        statement.parameters.push_back({false, key.column});
    }
    std::string set;
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (!unchanged[i] && !is_key(i) && !columns_[i].generated && !columns_[i].identity_always) {
            statement.parameters.push_back({false, i});
            append(set,
                   columns_[i].name + " = " + value_of(statement, statement.parameters.size() - 1));
        }
    }
    if (set.empty()) {
        return std::nullopt;
    }
    statement.sql = "UPDATE " + from_ + " t SET " + set + " FROM" + join_by_key(statement);
    return statement;
}

TargetTable::Statement TargetTable::remove_many() const {
    Statement statement;
    for (const KeyColumn& key : key_) {
        statement.parameters.push_back({false, key.column});
    }
    // An array of one column's values is looked up faster than a join by it. Partitions would be
    // pruned for each of them.
    const bool as_array =
        key_.size() == 1 && columns_[key_.front().column].in_array && !partitioned_;
    statement.sql =
        "DELETE FROM " + from_ + " t" +
        (as_array ? " WHERE " + is_any_of_array(key_.front()) : " USING" + join_by_key(statement));
    return statement;
}

/// Whole rows are compared as their texts, which tell nulls from empty texts, and -0 from 0. Where
/// an index helps the planner may use it, because its columns are compared too.
TargetTable::Statement TargetTable::remove_copies() const {
    Statement statement;
    std::string stored;
    std::string gone;
    for (const size_t column : identity_) {
        statement.parameters.push_back({true, column});
        append(stored, "t." + columns_[column].name);
        append(gone, value_of(statement, statement.parameters.size() - 1));
    }
    std::string finders;
    std::string grouped;
    std::string found_by;
    for (const KeyColumn& key : finder_) {
        const auto place = std::find(identity_.begin(), identity_.end(), key.column);
        const std::string value =
            value_of(statement, static_cast<size_t>(place - identity_.begin()));
        const std::string name = "f" + std::to_string(key.column);
        finders += ", " + value + " AS " + name;
        grouped += ", " + value;
        found_by += " AND t." + columns_[key.column].name + " " + key.equality + " g." + name;
    }
    const auto text_of = [](const std::string& values) {
        return "(ROW(" + values + ")::text COLLATE \"C\")";
    };
    const std::string here = "WITH g AS MATERIALIZED (SELECT " + text_of(gone) +
                             " AS whole, count(*) AS copies" + finders + " FROM " +
                             arrays_of(statement) + " GROUP BY " + text_of(gone) + grouped +
                             "), h AS (SELECT t.tableoid AS part, t.ctid AS place, g.copies, "
                             "row_number() OVER (PARTITION BY g.whole) AS nth FROM " +
                             from_ + " t JOIN g ON " + text_of(stored) + " = g.whole" + found_by +
                             ") DELETE FROM " + from_ + " t ";
    statement.sql = here + (partitioned_ ? "USING h WHERE h.nth <= h.copies AND t.ctid = h.place "
                                           "AND t.tableoid = h.part"
                                         : "WHERE t.ctid = ANY (ARRAY(SELECT h.place FROM h "
                                           "WHERE h.nth <= h.copies))");
    return statement;
}

/// Without an index only one way is right, whatever the statistics say; with one they must say.
std::string TargetTable::scans_settings() const {
    return "SELECT set_config('enable_seqscan', 'on', true), "
           "set_config('enable_hashjoin', 'on', true), set_config('enable_nestloop', " +
           (finder_.empty() ? "'off'" : "(" + known_sql_ + ")::text") + ", true)";
}

}  // namespace antipode::postgres
