#pragma once

#include <string>

#include "base/seams/database.hpp"

namespace antipode::postgres {

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
    std::unique_ptr<ByteReader> schema(SchemaSection section) override;
    std::vector<TableEstimate> tables() override;
    std::vector<SequenceValue> sequences() override;
    std::unique_ptr<TableReader> copy(const TableName& table) override;

  private:
    const Options options_;
};

}  // namespace antipode::postgres
