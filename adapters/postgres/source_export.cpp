#include "adapters/postgres/source_export.hpp"

#include <algorithm>
#include <array>

#include "adapters/postgres/chunk_sql.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/copy_out.hpp"
#include "adapters/postgres/materialized_views.hpp"
#include "adapters/postgres/schema_dump.hpp"
#include "adapters/postgres/sequence_log.hpp"

namespace antipode::postgres {

void wait_for_synchronous_commits(Connection& connection, const std::string& doing) {
    constexpr int tries = 200;
    const Rows waiting = connection.query(
        doing,
        "SELECT coalesce(array_agg(backend_xid::text), '{}') FROM pg_stat_activity "
        "WHERE wait_event = 'SyncRep' AND backend_xid IS NOT NULL");
    const std::string xids = waiting.string(0, 0);
    for (int i = 0; xids != "{}" && i < tries; ++i) {
        const Rows left = connection.query(
            doing,
            "SELECT count(*), pg_sleep(0.05) FROM pg_stat_activity "
            "WHERE wait_event = 'SyncRep' AND backend_xid::text = ANY ($1::text[])",
            {xids});
        if (left.text(0, 0) == "0") {
            return;
        }
    }
    if (xids != "{}") {
        throw Error(Reaction::Retry,
                    doing + ": commits of the primary wait for a synchronous standby",
                    "see synchronous_standby_names and pg_stat_replication on the primary");
    }
}

namespace {

constexpr const char* no_such_table = "42P01";
constexpr const char* no_such_schema = "3F000";

/// Types of PostgreSQL's own whose binary form says all, and the same on every server of a major
/// version: no OIDs inside (regclass, arrays and composites of the user's types).
constexpr std::array<uint32_t, 46> binary_safe_types = {
    16,   17,   18,   19,   20,   21,   23,   25,   114,  199,  600,  650,  700,  701,  829,  869,
    1000, 1001, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1042, 1043, 1082, 1083, 1114, 1115,
    1182, 1184, 1185, 1186, 1231, 1266, 1560, 1562, 1700, 2950, 2951, 3802, 3807, 774};

bool is_binary_safe(uint32_t type) {
    return std::find(binary_safe_types.begin(), binary_safe_types.end(), type) !=
           binary_safe_types.end();
}

/// What a range's rows are, for WHERE.
std::string in_range(const KeyRange& range) {
    const std::string column = quote_identifier(range.column);
    std::string condition = "true";
    if (range.after) {
        condition += " AND " + column + " > " + std::to_string(*range.after);
    }
    if (range.up_to) {
        condition += " AND " + column + " <= " + std::to_string(*range.up_to);
    }
    return condition;
}

class CopyReader final : public TableReader {
  public:
    CopyReader(const TableExport::Options& options, const CopyRequest& request) {
        const std::string doing = "copying " + request.table.to_string();
        const std::string table = qualified(request.table);
        Connection connection(options.url, options.application_name);
        wait_for_synchronous_commits(connection, doing);
        // The lock comes before the snapshot: a TRUNCATE or a rewrite in between would make the
        // table empty for a snapshot that should see its rows.
        connection.execute(doing,
                           "SET lock_timeout = '30s'; SET max_parallel_workers_per_gather = 0");
        connection.execute(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        connection.execute(doing, "LOCK TABLE ONLY " + table + " IN ACCESS SHARE MODE");
        snapshot_ = connection.query(doing, "SELECT pg_current_snapshot()").string(0, 0);
        wal_end_ =
            Lsn::parse(connection.query(doing, "SELECT pg_current_wal_insert_lsn()").text(0, 0))
                .value_or(Lsn{});
        read_columns(connection, doing, table);
        const bool same_version = connection.server_version() / 10000 == request.binary_for;
        if (!same_version || !std::all_of(types_.begin(), types_.end(), is_binary_safe)) {
            types_.clear();
        }
        const std::string sql = "COPY " + what(table, request.range) + " TO STDOUT" +
                                (types_.empty() ? "" : " (FORMAT binary)");
        rows_.emplace(std::move(connection), doing, sql);
    }

    const std::string& snapshot() const override { return snapshot_; }
    Lsn wal_end() const override { return wal_end_; }
    const std::vector<std::string>& columns() const override { return columns_; }
    const std::vector<uint32_t>& binary_types() const override { return types_; }
    size_t read(std::span<char> buffer) override { return rows_->read(buffer); }

  private:
    void read_columns(Connection& connection, const std::string& doing, const std::string& table) {
        const Rows rows = connection.query(
            doing,
            "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = $1::regclass "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            {table});
        for (int row = 0; row < rows.size(); ++row) {
            columns_.push_back(rows.string(row, 0));
            types_.push_back(static_cast<uint32_t>(rows.integer(row, 1)));
        }
    }

    /// "t (a, b)", or the query of a range.
    std::string what(const std::string& table, const KeyRange& range) const {
        const std::string list = column_list(columns_);
        if (range.whole()) {
            return table + (list.empty() ? "" : " (" + list + ")");
        }
        return "(SELECT " + list + " FROM ONLY " + table + " WHERE " + in_range(range) + ")";
    }

    std::string snapshot_;
    Lsn wal_end_;
    std::vector<std::string> columns_;
    std::vector<uint32_t> types_;  ///< empty: as text
    std::optional<CopyOut> rows_;
};

}  // namespace

std::optional<Lsn> TableExport::confirmed() {
    Connection connection(options_.url, options_.application_name);
    const Rows rows = connection.query(
        "reading the slot",
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1",
        {options_.slot});
    return rows.size() == 1 ? Lsn::parse(rows.text(0, 0)) : std::nullopt;
}

SnapshotPlace TableExport::snapshot() {
    constexpr const char* doing = "reading a snapshot";
    Connection connection(options_.url, options_.application_name);
    wait_for_synchronous_commits(connection, doing);
    const Rows snapshot = connection.query(doing, "SELECT pg_current_snapshot()");
    const Rows end = connection.query(doing, "SELECT pg_current_wal_insert_lsn()");
    return {snapshot.string(0, 0), Lsn::parse(end.text(0, 0)).value_or(Lsn{})};
}

std::unique_ptr<ByteReader> TableExport::schema(SchemaSection section,
                                                const std::optional<TableName>& only) {
    std::string program = options_.pg_dump;
    if (program.empty()) {
        const Connection connection(options_.url, options_.application_name);
        program = find_pg_dump(connection.server_version());
    }
    std::string more;
    if (section == SchemaSection::Finish && !only) {
        Connection connection(options_.url, options_.application_name);
        more = fill_materialized_views(connection);
    }
    return dump_schema(options_.url, program, section, only, std::move(more));
}

std::vector<TableEstimate> TableExport::tables() {
    Connection connection(options_.url, options_.application_name);
    const Rows rows = connection.query(
        "listing tables",
        std::string(
            "SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)") +
            replicated_tables + " ORDER BY 1, 2");
    std::vector<TableEstimate> tables;
    for (int row = 0; row < rows.size(); ++row) {
        tables.push_back({{rows.string(row, 0), rows.string(row, 1)},
                          static_cast<uint64_t>(rows.integer(row, 2)),
                          static_cast<uint64_t>(rows.integer(row, 3))});
    }
    return tables;
}

std::vector<SequenceValue> TableExport::sequences() {
    Connection connection(options_.url, options_.application_name);
    return read_sequences(connection);
}

namespace {
/// Another unique key could hold in no single place: what was moved between two ranges' snapshots
/// is there twice, or not at all, until apply has passed both.
constexpr const char* ranges_sql = R"(
    SELECT a.attname, pg_relation_size(c.oid), b.bound
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate
      AND i.indnkeyatts = 1
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
      AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
    JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname
      AND s.attname = a.attname AND NOT s.inherited AND abs(s.correlation) > 0.9
    CROSS JOIN unnest(s.histogram_bounds::text::bigint[]) b(bound)
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r' AND c.relreplident IN ('d', 'f')
      AND NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid
                      AND (x.indisunique OR x.indisexclusion) AND x.indexrelid <> i.indexrelid)
    ORDER BY b.bound)";
}  // namespace

std::vector<KeyRange> TableExport::ranges(const TableName& table, uint64_t part_bytes) {
    Connection connection(options_.url, options_.application_name);
    const Rows rows = connection.query("cutting " + table.to_string() + " into ranges", ranges_sql,
                                       {table.schema, table.table});
    if (rows.size() < 2 || part_bytes == 0) {
        return {KeyRange{}};
    }
    const auto buckets = static_cast<uint64_t>(rows.size() - 1);
    const auto bytes = static_cast<uint64_t>(rows.integer(0, 1));
    const uint64_t parts = std::min(buckets, (bytes + part_bytes - 1) / part_bytes);
    std::vector<KeyRange> ranges = {{rows.string(0, 0), std::nullopt, std::nullopt}};
    for (uint64_t part = 1; part < parts; ++part) {
        const int64_t bound = rows.integer(static_cast<int>(part * buckets / parts), 2);
        if (ranges.back().after != bound) {
            ranges.back().up_to = bound;
            ranges.push_back({rows.string(0, 0), bound, std::nullopt});
        }
    }
    return ranges.size() > 1 ? ranges : std::vector{KeyRange{}};
}

std::unique_ptr<TableReader> TableExport::copy(const CopyRequest& request) {
    try {
        return std::make_unique<CopyReader>(options_, request);
    } catch (const SqlError& error) {
        if (error.sqlstate() == no_such_table || error.sqlstate() == no_such_schema) {
            return nullptr;
        }
        throw;
    }
}

}  // namespace antipode::postgres
