#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace antipode::nats {

/// Syncs a stream's newest message blocks to disk: nats-server 2.9 acknowledges when a message is
/// written, and calls fsync only every two minutes. One thread.
class BlockSync {
  public:
    /// An empty `store_dir` (the server runs elsewhere) makes sync() do nothing.
    BlockSync(const std::filesystem::path& store_dir, const std::string& stream);

    /// When it returns, every message acknowledged before the call survives a power cut. Throws
    /// Error{Retry} when the blocks cannot be opened or synced; DamagedStream when those that were
    /// there have been missing for some seconds.
    void sync();

  private:
    void must_come_back();

    std::filesystem::path blocks_;
    uint64_t newest_ = 0;  ///< every older block is complete and synced
    std::optional<std::chrono::steady_clock::time_point> missing_since_;
};

}  // namespace antipode::nats
