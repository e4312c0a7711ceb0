#include "secondary/latencies.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace antipode::secondary {
namespace {

constexpr std::chrono::seconds slot_length = Latencies::window / 12;
constexpr double buckets_per_doubling = 4;
/// In metrics: from 4 ms to 2.3 hours, each twice the one before.
constexpr size_t first_shown = 8;
constexpr size_t last_shown = 92;
constexpr size_t shown_step = 4;

int64_t slot_number(SteadyTime now) {
    return std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()) / slot_length;
}

}  // namespace

size_t Latencies::bucket_of(std::chrono::microseconds took) {
    const double milliseconds = static_cast<double>(took.count()) / 1000;
    if (milliseconds <= 1) {
        return 0;  // clocks that differ make it negative
    }
    const double bucket = std::ceil(buckets_per_doubling * std::log2(milliseconds));
    return std::min(static_cast<size_t>(bucket), buckets - 1);
}

double Latencies::bound_of(size_t bucket) {
    return std::exp2(static_cast<double>(bucket) / buckets_per_doubling) / 1000;
}

void Latencies::note(SteadyTime now, std::chrono::microseconds took) {
    const int64_t number = slot_number(now);
    Slot& slot = lately_[static_cast<size_t>(number) % slots];
    if (slot.number != number) {
        slot = {number, {}};
    }
    const size_t bucket = bucket_of(took);
    ++slot.counts[bucket];
    ++ever_[bucket];
    sum_seconds_ += std::max(0.0, std::chrono::duration<double>(took).count());
}

std::optional<Latencies::Percentiles> Latencies::lately(SteadyTime now) const {
    const int64_t oldest = slot_number(now) - static_cast<int64_t>(slots);
    std::array<uint64_t, buckets> sum{};
    for (const Slot& slot : lately_) {
        for (size_t i = 0; slot.number > oldest && i < buckets; ++i) {
            sum[i] += slot.counts[i];
        }
    }
    Percentiles found;
    found.changes = std::accumulate(sum.begin(), sum.end(), uint64_t{0});
    if (found.changes == 0) {
        return std::nullopt;
    }
    const auto at = [&](double part) {
        const double wanted = part * static_cast<double>(found.changes);
        uint64_t passed = 0;
        size_t bucket = 0;
        for (; bucket + 1 < buckets; ++bucket) {
            passed += sum[bucket];
            if (static_cast<double>(passed) >= wanted) {
                break;
            }
        }
        return bound_of(bucket);
    };
    found.p50_seconds = at(0.50);
    found.p95_seconds = at(0.95);
    found.p99_seconds = at(0.99);
    return found;
}

const std::vector<double>& Latencies::bounds() {
    static const std::vector<double> shown = [] {
        std::vector<double> all;
        for (size_t bucket = first_shown; bucket <= last_shown; bucket += shown_step) {
            all.push_back(bound_of(bucket));
        }
        return all;
    }();
    return shown;
}

Latencies::Total Latencies::total() const {
    Total total{std::vector<double>(bounds().size() + 1, 0), sum_seconds_};
    for (size_t bucket = 0; bucket < buckets; ++bucket) {
        const size_t behind = std::max(bucket, first_shown) - first_shown;
        const size_t place = (behind + shown_step - 1) / shown_step;
        total.counts[std::min(place, bounds().size())] += static_cast<double>(ever_[bucket]);
    }
    return total;
}

}  // namespace antipode::secondary
