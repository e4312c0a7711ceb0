#pragma once

#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "base/seams/stream.hpp"

namespace antipode {

/// The single writer of a stream. It hides that an append which failed may have stored a prefix: it
/// looks at what is there and goes on from it, so that nothing is stored twice or out of order. One
/// thread.
class StreamWriter {
  public:
    explicit StreamWriter(Stream& stream) : stream_(stream) {}

    /// Reads where the stream ends. Call first.
    Stream::Info begin();

    /// Stores all messages, in order, synced. Retries while the broker is away, with backoff, until
    /// the stop token fires (Stopped). `on_problem` is called with each error that is retried.
    /// Throws Error{Resync} when the stream is not what this writer left: it went back in time, was
    /// made anew, or has another writer.
    template <typename OnProblem>
    void append(std::span<const OutgoingMessage> messages, const OnProblem& on_problem,
                const std::stop_token& stop);

    uint64_t last_sequence() const { return last_; }

  private:
    /// How many of `messages` are stored behind last_.
    size_t stored_prefix(std::span<const OutgoingMessage> messages);

    Stream& stream_;
    uint64_t last_ = 0;
};

}  // namespace antipode

#include "base/backoff.hpp"
#include "base/error.hpp"
#include "base/worker.hpp"

namespace antipode {

template <typename OnProblem>
void StreamWriter::append(std::span<const OutgoingMessage> messages, const OnProblem& on_problem,
                          const std::stop_token& stop) {
    Backoff backoff;
    bool uncertain = false;
    while (!messages.empty()) {
        try {
            if (uncertain) {
                const size_t stored = stored_prefix(messages);
                messages = messages.subspan(stored);
                last_ += stored;
                uncertain = false;
                continue;
            }
            last_ = stream_.append(last_, messages);
            return;
        } catch (const Error& error) {
            if (error.reaction() != Reaction::Retry) {
                throw;
            }
            uncertain = true;
            on_problem(error);
            if (sleep_unless_stopped(backoff.next(), stop)) {
                throw Stopped{};
            }
        }
    }
}

}  // namespace antipode
