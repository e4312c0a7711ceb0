#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include <sys/types.h>

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
    using Blocks = std::map<uint64_t, std::filesystem::path>;
    Blocks wait_for_blocks() const;
    Blocks look() const;

    std::filesystem::path blocks_;
    uint64_t newest_ = 0;  ///< every older block is complete and synced
    ino_t directory_ = 0;  ///< that they are in
};

}  // namespace antipode::nats
