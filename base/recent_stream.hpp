#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "base/seams/stream.hpp"

namespace antipode {

/// The newest messages of a stream, in memory, between the one who appends them and one who reads
/// them in the same process: so that they need not come back from the broker. Thread-safe.
class RecentMessages {
  public:
    /// Holds at most so many bytes, but for the newest append.
    explicit RecentMessages(size_t most_bytes) : most_bytes_(most_bytes) {}

    /// They were stored, the first one at `first`.
    void add(uint64_t first, std::span<const OutgoingMessage> messages);
    /// Nobody knows what was stored.
    void forget();

    /// Messages from `sequence` on, at most limits::read_messages and limits::read_bytes; waits up
    /// to `wait` for the first one when it is the next to come. nullopt: it is not here; ask the
    /// broker.
    std::optional<std::vector<StoredMessage>> read(uint64_t sequence,
                                                   std::chrono::milliseconds wait);

  private:
    const size_t most_bytes_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<StoredMessage> messages_;  ///< their sequences are dense
    size_t bytes_ = 0;
    bool known_ = false;  ///< where the stream ends:
    uint64_t next_ = 1;   ///< the sequence of the message that comes next
};

/// A stream whose appends are remembered. Like the stream itself; see Stream.
class RememberedAppends final : public Stream {
  public:
    /// Both must outlive the object.
    RememberedAppends(Stream& stream, RecentMessages& recent) : stream_(stream), recent_(recent) {}

    Info info() override { return stream_.info(); }
    std::optional<StoredMessage> get(uint64_t sequence) override { return stream_.get(sequence); }
    uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) override;
    std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) override {
        return stream_.read(sequence, wait);
    }
    void sync() override { stream_.sync(); }
    void purge_below(uint64_t sequence) override { stream_.purge_below(sequence); }
    void make_anew() override;

  private:
    Stream& stream_;
    RecentMessages& recent_;
};

/// The same stream as its reader sees it: what is remembered comes from memory.
class RememberedReads final : public Stream {
  public:
    /// Both must outlive the object.
    RememberedReads(Stream& stream, RecentMessages& recent) : stream_(stream), recent_(recent) {}

    Info info() override { return stream_.info(); }
    std::optional<StoredMessage> get(uint64_t sequence) override { return stream_.get(sequence); }
    uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) override {
        return stream_.append(expected_last, messages);
    }
    std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) override;
    void sync() override { stream_.sync(); }
    void purge_below(uint64_t sequence) override { stream_.purge_below(sequence); }
    void make_anew() override { stream_.make_anew(); }

  private:
    Stream& stream_;
    RecentMessages& recent_;
};

}  // namespace antipode
