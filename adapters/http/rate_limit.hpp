#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"
#include "base/synchronized.hpp"

namespace antipode::http {

/// How much to transfer at once under a cap: little under a small one, so that pauses stay short.
/// 0: no cap.
size_t chunk_size(uint64_t bytes_per_second);

/// A cap on bytes per second that several transfers share (token bucket; a tenth of a second's
/// worth may come at once). Thread-safe.
class RateLimit {
  public:
    /// 0: no cap.
    explicit RateLimit(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

    /// Counts `bytes` that were transferred at `now`; the transfer must pause for the result.
    std::chrono::nanoseconds take(size_t bytes, SteadyTime now);

  private:
    const uint64_t bytes_per_second_;
    /// When everything counted so far would have passed at exactly the cap.
    Synchronized<SteadyTime> paid_until_;
};

}  // namespace antipode::http
