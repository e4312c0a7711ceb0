#pragma once

#include <string>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Which tables are replicated, as c, with their schemas, as n: FROM and WHERE of a query.
inline constexpr const char* replicated_tables = R"(
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
      AND n.nspname NOT LIKE 'pg\_%')";

class Connection;

/// A commit that waits for a synchronous standby is in the log, so decoding may have passed it and
/// every site may have it, but no snapshot sees it yet. A copy made now would miss it for good.
/// Throws Error{Retry} when they go on waiting.
void wait_for_synchronous_commits(Connection& connection, const std::string& doing);

/// Reads schema and tables of a primary for new secondaries. Thread-safe: every call opens its own
/// connection, which lives as long as what it returns.
class TableExport final : public SourceExport {
  public:
    struct Options {
        std::string url;
        std::string slot;
        std::string application_name;
        std::string pg_dump;  ///< empty: find_pg_dump()
    };
    explicit TableExport(Options options) : options_(std::move(options)) {}

    std::optional<Lsn> confirmed() override;
    SnapshotPlace snapshot() override;
    std::unique_ptr<ByteReader> schema(SchemaSection section,
                                       const std::optional<TableName>& only) override;
    std::vector<TableEstimate> tables() override;
    std::vector<SequenceValue> sequences() override;
    std::vector<KeyRange> ranges(const TableName& table, uint64_t part_bytes) override;
    std::unique_ptr<TableReader> copy(const CopyRequest& request) override;

  private:
    const Options options_;
};

}  // namespace antipode::postgres
