#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/seams/stream.hpp"

namespace antipode {

/// The single writer of a stream. An append that fails may have stored a prefix; the next one then
/// first looks at what is there and goes on from it, so that nothing is stored twice or out of
/// order. Passive: it neither waits nor retries by itself. One thread.
class StreamWriter {
  public:
    explicit StreamWriter(Stream& stream) : stream_(stream) {}

    /// Reads where the stream ends. Call first.
    Stream::Info begin();

    /// Stores messages from the front of `queue`, at most one batch, synced, and removes them.
    /// After Error{Retry} (the broker is away) call it again with the same queue. Throws
    /// Error{Resync} when the stream is not what this writer left: it went back in time, was made
    /// anew, or has another writer.
    void append(std::deque<OutgoingMessage>& queue);

    uint64_t last_sequence() const { return last_; }

  private:
    void take_over_stored(std::deque<OutgoingMessage>& queue);

    Stream& stream_;
    uint64_t last_ = 0;
    bool uncertain_ = false;  ///< an append failed: a prefix of it may be stored
};

}  // namespace antipode
