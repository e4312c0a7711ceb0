#pragma once

#include <string>

#include "adapters/postgres/chunk_sql.hpp"
#include "base/seams/chunks.hpp"

namespace antipode::postgres {

/// Opens checks of a primary's database. Each holds one connection that keeps its snapshot, which
/// the server ends when the check is not used for five minutes; every reading has one of its own.
class SnapshotChecks final : public SourceChecks {
  public:
    struct Options {
        std::string url;
        std::string application_name;
        ChunkSizes sizes;
    };
    explicit SnapshotChecks(Options options) : options_(std::move(options)) {}

    std::shared_ptr<SourceCheck> open(const std::string& id, CheckReads read) override;

  private:
    const Options options_;
};

}  // namespace antipode::postgres
