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
    /// What tells whether blocks came or went since.
    struct Seen {
        ino_t directory = 0;  ///< 0: it was not there
        int64_t changed_ns = 0;
        int64_t at_ns = 0;

        bool operator==(const Seen& other) const {
            return directory == other.directory && changed_ns == other.changed_ns;
        }
        /// Behind a change that is younger another one may leave the same time.
        bool may_be_trusted() const { return directory != 0 && at_ns - changed_ns > least_age_ns; }
        static constexpr int64_t least_age_ns = 1'000'000'000;
    };
    Seen see() const;
    Blocks wait_for_blocks() const;
    Blocks look() const;

    std::filesystem::path blocks_;
    uint64_t newest_ = 0;  ///< every older block is complete and synced
    ino_t directory_ = 0;  ///< that they are in
    std::filesystem::path newest_file_;
    Seen seen_;  ///< before the blocks were listed the last time
};

}  // namespace antipode::nats
