#include "adapters/postgres/replica_reader.hpp"

#include "adapters/postgres/chunk_sql.hpp"
#include "adapters/postgres/structure.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "checking";

}  // namespace

void SnapshotReader::connect(const std::stop_token& stop) {
    connection_.emplace(options_.url, options_.application_name);
    connection_->heed(stop);
    connection_->execute(doing, "SET lock_timeout = '10s'");
    connection_->execute(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
}

Connection& SnapshotReader::connected() {
    if (!connection_) {
        throw Error(Reaction::Retry, "the check has no connection with the database");
    }
    return *connection_;
}

void SnapshotReader::take_snapshot() {
    connected().query(doing, "SELECT 1");
}

Structure SnapshotReader::structure() {
    Connection& connection = connected();
    connection.execute(doing, "SAVEPOINT structure; SET LOCAL statement_timeout = '60s'");
    Structure structure = read_structure(connection);
    connection.execute(doing, "ROLLBACK TO structure; RELEASE structure");
    return structure;
}

std::string SnapshotReader::problem(const ChunkPlan& plan) {
    const Rows rows = connected().query(
        "looking up " + plan.table.to_string(),
        "SELECT a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'",
        {plan.table.schema, plan.table.table});
    if (rows.size() == 0) {
        return "there is no such table on this site";
    }
    for (const std::string& column : plan.columns) {
        int row = 0;
        while (row < rows.size() && rows.text(row, 0) != column) {
            ++row;
        }
        if (row == rows.size()) {
            return "the column \"" + column + "\" is not in the table on this site";
        }
    }
    return {};
}

template <typename Use>
auto SnapshotReader::read(const TableName& table, Use use) -> std::optional<decltype(use())> {
    Connection& connection = connected();
    const auto release = [&] {
        connection.execute(doing, "ROLLBACK TO one_table; RELEASE one_table");
    };
    connection.execute(doing, "SAVEPOINT one_table");
    try {
        auto result = or_unreadable([&] {
            return unless_missing([&]() -> std::optional<decltype(use())> {
                return is_readable(connection, table) ? std::optional(use()) : std::nullopt;
            });
        });
        release();
        return result ? std::move(*result) : std::nullopt;
    } catch (const Unreadable&) {
        release();
        throw;
    }
}

std::optional<ChunkDigests> SnapshotReader::digests(const ChunkPlan& plan,
                                                    const std::set<uint32_t>& chunks) {
    return read(plan.table, [&] { return read_digests(*connection_, plan, chunks); });
}

std::optional<KeyDigests> SnapshotReader::keys(const ChunkPlan& plan,
                                               const std::set<uint32_t>& chunks) {
    return read(plan.table, [&] { return read_keys(*connection_, plan, chunks); });
}

TouchedKeys SnapshotReader::find(const ChunkPlan& plan, const TouchedRows& touched) {
    auto found = read(plan.table, [&] { return find_touched(*connection_, plan, touched); });
    TouchedKeys all;
    all.all = true;
    return found ? std::move(*found) : all;
}

}  // namespace antipode::postgres
