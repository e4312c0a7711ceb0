#include "adapters/postgres/source_export.hpp"

#include <algorithm>

#include <libpq-fe.h>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/materialized_views.hpp"
#include "adapters/postgres/schema_dump.hpp"
#include "adapters/postgres/sequence_log.hpp"
#include "base/handle.hpp"

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

std::string qualified(const TableName& name) {
    return quote_identifier(name.schema) + "." + quote_identifier(name.table);
}

class CopyReader final : public TableReader {
  public:
    CopyReader(const TableExport::Options& options, const TableName& table)
        : connection_(options.url, options.application_name), table_(table) {
        const std::string doing = "copying " + table.to_string();
        wait_for_synchronous_commits(connection_, doing);
        // The lock comes before the snapshot: a TRUNCATE or a rewrite in between would make the
        // table empty for a snapshot that should see its rows.
        connection_.execute(doing, "SET lock_timeout = '30s'");
        connection_.execute(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        connection_.execute(doing, "LOCK TABLE ONLY " + qualified(table) + " IN ACCESS SHARE MODE");
        snapshot_ = connection_.query(doing, "SELECT pg_current_snapshot()").string(0, 0);
        wal_end_ =
            Lsn::parse(connection_.query(doing, "SELECT pg_current_wal_insert_lsn()").text(0, 0))
                .value_or(Lsn{});
        read_columns(doing);
        begin(doing);
    }
    ~CopyReader() override {
        if (!ended_) {
            connection_.cancel();
        }
    }

    const std::string& snapshot() const override { return snapshot_; }
    Lsn wal_end() const override { return wal_end_; }
    const std::vector<std::string>& columns() const override { return columns_; }

    size_t read(std::span<char> buffer) override {
        if (used_ == size_ && !ended_) {
            fetch();
        }
        const size_t size = std::min(buffer.size(), size_ - used_);
        std::copy_n(row_.get() + used_, size, buffer.begin());
        used_ += size;
        return size;
    }

  private:
    void read_columns(const std::string& doing) {
        const Rows rows = connection_.query(
            doing,
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            {qualified(table_)});
        for (int row = 0; row < rows.size(); ++row) {
            columns_.push_back(rows.string(row, 0));
        }
    }

    void begin(const std::string& doing) {
        std::string list;
        for (const std::string& column : columns_) {
            list += (list.empty() ? " (" : ", ") + quote_identifier(column);
        }
        const std::string sql =
            "COPY " + qualified(table_) + list + (list.empty() ? "" : ")") + " TO STDOUT";
        const Rows::Result result(PQexec(connection_.raw(), sql.c_str()));
        if (PQresultStatus(result.get()) != PGRES_COPY_OUT) {
            connection_.fail(doing, result.get());
        }
    }

    void fetch() {
        char* bytes = nullptr;
        const int size = PQgetCopyData(connection_.raw(), &bytes, 0);
        row_.reset(bytes);
        used_ = 0;
        size_ = size > 0 ? static_cast<size_t>(size) : 0;
        if (size > 0) {
            return;
        }
        const Rows::Result result(PQgetResult(connection_.raw()));
        if (size < -1 || PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
            connection_.fail("copying " + table_.to_string(), result.get());
        }
        ended_ = true;
    }

    Connection connection_;
    TableName table_;
    std::string snapshot_;
    Lsn wal_end_;
    std::vector<std::string> columns_;
    Handle<char, PQfreemem> row_;
    size_t size_ = 0;
    size_t used_ = 0;
    bool ended_ = false;
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

std::unique_ptr<ByteReader> TableExport::schema(SchemaSection section) {
    std::string program = options_.pg_dump;
    if (program.empty()) {
        const Connection connection(options_.url, options_.application_name);
        program = find_pg_dump(connection.server_version());
    }
    std::string more;
    if (section == SchemaSection::Finish) {
        Connection connection(options_.url, options_.application_name);
        more = fill_materialized_views(connection);
    }
    return dump_schema(options_.url, program, section, std::move(more));
}

std::vector<TableEstimate> TableExport::tables() {
    Connection connection(options_.url, options_.application_name);
    const Rows rows = connection.query("listing tables", R"(
        SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence = 'p'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
          AND n.nspname NOT LIKE 'pg\_%'
        ORDER BY 1, 2)");
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

std::unique_ptr<TableReader> TableExport::copy(const TableName& table) {
    try {
        return std::make_unique<CopyReader>(options_, table);
    } catch (const SqlError& error) {
        if (error.sqlstate() == no_such_table || error.sqlstate() == no_such_schema) {
            return nullptr;
        }
        throw;
    }
}

}  // namespace antipode::postgres
