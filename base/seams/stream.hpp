#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace antipode {

struct StoredMessage {
    uint64_t sequence = 0;  ///< the broker's; never used as a position
    std::string bytes;
    std::string subject{};
};

struct OutgoingMessage {
    std::string subject;
    std::string bytes;
};

/// The broker holds messages that it does not bring, whoever asks: what it keeps is damaged.
class DamagedStream : public Error {
  public:
    using Error::Error;
};

/// One append-only stream on one broker, as its single writer and as a reader see it. Implemented
/// by adapters/nats (JetStream) and by the simulation. One thread per object; every call returns
/// within a few seconds. Errors are Error{Retry} unless said otherwise; the object reconnects by
/// itself.
class Stream {
  public:
    struct Info {
        uint64_t first_sequence = 0;
        uint64_t last_sequence = 0;  ///< 0: nothing was ever stored
        uint64_t messages = 0;
        uint64_t bytes = 0;
    };

    virtual ~Stream() = default;

    virtual Info info() = 0;

    /// The message at `sequence`; nullopt when the stream does not hold it (any more).
    virtual std::optional<StoredMessage> get(uint64_t sequence) = 0;

    /// Appends in order, each on condition that the stream's last sequence is what the one before
    /// it made it (`expected_last` for the first). Returns the last sequence once all are stored
    /// *and* synced to disk as far as the broker's place allows. When it throws, a prefix may be
    /// stored: look at info() and get(). Nothing is stored when another writer was faster.
    virtual uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) = 0;

    /// Syncs what is stored, as append() does: after one that threw, or of an earlier process.
    virtual void sync() {}

    /// Messages from `sequence` on, in order, at most limits::read_messages; waits up to `wait` for
    /// the first one. Empty: nothing came. The first message may have a greater sequence when older
    /// ones are gone; the caller checks continuity by what the messages say. Throws DamagedStream
    /// when it has seen for some seconds that what is held does not come.
    virtual std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) = 0;

    /// Deletes everything below `sequence`.
    virtual void purge_below(uint64_t sequence) = 0;

    /// Deletes the stream with all that it holds, and begins it anew; for its writer.
    virtual void make_anew() = 0;
};

}  // namespace antipode
