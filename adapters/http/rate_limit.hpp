#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stop_token>

#include "base/clock.hpp"
#include "base/synchronized.hpp"

namespace antipode::http {

/// How much to transfer at once under a cap: little under a small one, so that pauses stay short.
/// 0: no cap.
size_t chunk_size(uint64_t bytes_per_second);

/// A cap on bytes per second that several transfers share (token bucket; a tenth of a second's
/// worth may come at once). It can be changed while they run. Thread-safe.
class RateLimit {
  public:
    /// 0: no cap.
    explicit RateLimit(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

    uint64_t bytes_per_second() const { return bytes_per_second_; }
    /// Counts from now on; who pauses for the old one goes on.
    void set(uint64_t bytes_per_second);

    /// Counts `bytes` that were transferred at `now`; the transfer must pause for the result.
    std::chrono::nanoseconds take(size_t bytes, SteadyTime now);
    /// Counts `bytes` that were transferred now, and pauses. True: it was stopped.
    bool pace(size_t bytes, const std::stop_token& stop);

  private:
    std::atomic<uint64_t> bytes_per_second_;
    std::atomic<uint64_t> changes_ = 0;
    /// When everything counted so far would have passed at exactly the cap.
    Synchronized<SteadyTime> paid_until_;
};

}  // namespace antipode::http
