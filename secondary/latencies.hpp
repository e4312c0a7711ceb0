#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace antipode::secondary {

/// How long a store's changes took until they were applied here, counted by durations: over the
/// last hour for percentiles, and since the start. A change costs two additions, whatever the load;
/// a store takes 6 kB. Passive; one thread.
class Latencies {
  public:
    void note(SteadyTime now, std::chrono::microseconds took);

    /// Durations that so many percent of the changes did not exceed, each at most a fifth too high.
    struct Percentiles {
        double p50_seconds = 0;
        double p95_seconds = 0;
        double p99_seconds = 0;
        uint64_t changes = 0;
    };
    /// Of what was applied within the last hour, give or take five minutes; nullopt: nothing was.
    std::optional<Percentiles> lately(SteadyTime now) const;
    static constexpr std::chrono::seconds window{3600};

    /// Since the start, for metrics: changes that took up to `bounds()[i]` seconds and longer than
    /// the bound before; the last count is of those beyond all bounds.
    struct Total {
        std::vector<double> counts;
        double sum_seconds = 0;
    };
    Total total() const;
    static const std::vector<double>& bounds();

  private:
    /// Bucket i holds what took up to 2^(i/4) ms and more than the one before: from a millisecond
    /// to 37 hours, and what took longer.
    static constexpr size_t buckets = 4 * 27 + 2;
    static constexpr size_t slots = 12;
    using Counts = std::array<uint32_t, buckets>;
    struct Slot {
        int64_t number = -1;  ///< which five minutes
        Counts counts{};
    };
    static size_t bucket_of(std::chrono::microseconds took);
    static double bound_of(size_t bucket);

    std::array<Slot, slots> lately_{};
    std::array<uint64_t, buckets> ever_{};
    double sum_seconds_ = 0;
};

}  // namespace antipode::secondary
