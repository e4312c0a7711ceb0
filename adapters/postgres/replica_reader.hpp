#pragma once

#include <optional>
#include <string>

#include "adapters/postgres/connection.hpp"
#include "base/seams/chunks.hpp"

namespace antipode::postgres {

/// Reads a secondary's database in one snapshot. Locks on tables are held only while they are read,
/// so that apply can truncate and change them in between.
class SnapshotReader final : public ReplicaReader {
  public:
    struct Options {
        std::string url;
        std::string application_name;
    };
    explicit SnapshotReader(Options options) : options_(std::move(options)) {}

    void connect(const std::stop_token& stop) override;
    /// Gives up the snapshot, and the locks of the tables that were read.
    void disconnect() { connection_.reset(); }
    void take_snapshot() override;
    Structure structure() override;
    std::string problem(const ChunkPlan& plan) override;
    std::optional<ChunkDigests> digests(const ChunkPlan& plan,
                                        const std::set<uint32_t>& chunks) override;
    std::optional<KeyDigests> keys(const ChunkPlan& plan,
                                   const std::set<uint32_t>& chunks) override;
    TouchedKeys find(const ChunkPlan& plan, const TouchedRows& touched) override;

  private:
    Connection& connected();
    /// nullopt: the table is not in the snapshot, or not readable in it any more.
    template <typename Use>
    auto read(const TableName& table, Use use) -> std::optional<decltype(use())>;

    const Options options_;
    std::optional<Connection> connection_;
};

}  // namespace antipode::postgres
