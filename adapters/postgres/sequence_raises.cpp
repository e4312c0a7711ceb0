#include "adapters/postgres/sequence_raises.hpp"

#include <charconv>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

/// A partition's identity belongs to the table above it.
constexpr const char* columns_sql = R"(
    WITH family AS (SELECT $1::oid AS oid
                    UNION SELECT relid::oid FROM pg_partition_ancestors($1::oid::regclass))
    SELECT DISTINCT a.attname, s.seqrelid, s.seqincrement > 0, s.seqmin, s.seqmax
    FROM family f JOIN pg_attribute a ON a.attrelid = f.oid AND NOT a.attisdropped
    JOIN LATERAL (
      SELECT d.objid AS oid FROM pg_depend d
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = f.oid
        AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass
        AND d.deptype IN ('a', 'i')
      UNION ALL
      SELECT d.refobjid FROM pg_attrdef e
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
        AND d.refclassid = 'pg_class'::regclass
      WHERE e.adrelid = f.oid AND e.adnum = a.attnum
        AND pg_get_expr(e.adbin, e.adrelid) ~ '^nextval\(') q ON true
    JOIN pg_sequence s ON s.seqrelid = q.oid)";

/// Arrays as the simple protocol takes them; a missing sequence joins with nothing. A sequence that
/// was never used is behind every value that was.
constexpr const char* follow_sql = R"(
    SELECT count(setval(s.seqrelid::regclass, v.value, v.called))
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::boolean[])
      v (schema, name, value, called, exact)
    JOIN pg_namespace n ON n.nspname = v.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.name AND c.relkind = 'S'
    JOIN pg_sequence s ON s.seqrelid = c.oid
    CROSS JOIN LATERAL (SELECT pg_sequence_last_value(s.seqrelid) AS value) last
    WHERE v.value BETWEEN s.seqmin AND s.seqmax
      AND (v.exact OR v.called AND (last.value IS NULL
           OR CASE WHEN s.seqincrement > 0 THEN last.value < v.value
                   ELSE last.value > v.value END)))";

void append(std::string& array, const std::string& element) {
    array += (array.size() > 1 ? "," : "") + element;
}

std::string array_element(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            quoted += '\\';
        }
        quoted += c;
    }
    return quoted + '"';
}

}  // namespace

void SequenceRaises::add(Connection& connection, uint32_t relation, const std::string& oid,
                         const RelationShape& shape) {
    const Rows rows = connection.query("looking up the sequences of " + shape.name.to_string(),
                                       columns_sql, {oid});
    if (columns_.size() <= relation) {
        columns_.resize(relation + 1);
    }
    for (int row = 0; row < rows.size(); ++row) {
        for (size_t i = 0; i < shape.columns.size(); ++i) {
            if (shape.columns[i].name == rows.text(row, 0)) {
                columns_[relation].push_back({i, static_cast<uint32_t>(rows.integer(row, 1)),
                                              rows.boolean(row, 2), rows.integer(row, 3),
                                              rows.integer(row, 4)});
                any_ = true;
            }
        }
    }
}

void SequenceRaises::note(std::span<const RowOperation> operations) {
    if (!any_) {
        return;
    }
    for (const RowOperation& operation : operations) {
        switch (operation.kind) {
            case RowOperation::Kind::Delete:
                break;
            case RowOperation::Kind::Insert:
            case RowOperation::Kind::Update:
                for (const Column& column : columns_[operation.relation]) {
                    note_value(column, operation.new_row[column.field]);
                }
                break;
            case RowOperation::Kind::Truncate:
                for (const uint32_t relation : operation.truncated) {
                    for (const Column& column : columns_[relation]) {
                        if (operation.restart_identity) {
                            furthest_.erase(column.sequence);
                        }
                    }
                }
                break;
        }
    }
}

void SequenceRaises::note_value(const Column& column, const Field& field) {
    int64_t value = 0;
    const char* const end = field.text.data() + field.text.size();
    const auto [stopped, error] = std::from_chars(field.text.data(), end, value);
    if (field.kind != Field::Kind::Text || error != std::errc() || stopped != end ||
        value < column.least || value > column.most) {
        return;
    }
    const auto [found, fresh] =
        furthest_.try_emplace(column.sequence, Furthest{value, column.ascending});
    if (!fresh) {
        int64_t& furthest = found->second.value;
        furthest = column.ascending ? std::max(furthest, value) : std::min(furthest, value);
    }
}

std::string SequenceRaises::take_sql() {
    std::string sql;
    for (const auto& [sequence, furthest] : furthest_) {
        const std::string oid = std::to_string(sequence);
        const std::string value = std::to_string(furthest.value);
        sql += "SELECT setval(" + oid + "::oid::regclass, " + value +
               ") WHERE coalesce(pg_sequence_last_value(" + oid + ") " +
               (furthest.ascending ? "< " : "> ") + value + ", true); ";
    }
    furthest_.clear();
    return sql;
}

void SequenceRaises::forget() {
    drop();
    columns_.clear();
    any_ = false;
}

void follow_sequences(Connection& connection, std::span<const SequenceState> states) {
    std::string schemas = "{";
    std::string names = "{";
    std::string values = "{";
    std::string called = "{";
    std::string exact = "{";
    for (const SequenceState& state : states) {
        append(schemas, array_element(state.at.name.schema));
        append(names, array_element(state.at.name.table));
        append(values, std::to_string(state.at.value));
        append(called, state.at.called ? "t" : "f");
        append(exact, state.exact ? "t" : "f");
    }
    connection.query("moving sequences on", follow_sql,
                     {schemas + "}", names + "}", values + "}", called + "}", exact + "}"});
}

}  // namespace antipode::postgres
