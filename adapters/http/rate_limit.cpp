#include "adapters/http/rate_limit.hpp"

#include <algorithm>

#include "base/limits.hpp"
#include "base/worker.hpp"

namespace antipode::http {

size_t chunk_size(uint64_t bytes_per_second) {
    constexpr size_t most = 128 * limits::kib;
    return bytes_per_second == 0 ? most : std::clamp<size_t>(bytes_per_second / 8, 1024, most);
}

void RateLimit::set(uint64_t bytes_per_second) {
    if (bytes_per_second_.exchange(bytes_per_second) != bytes_per_second) {
        paid_until_.with([](SteadyTime& paid_until) { paid_until = {}; });
        ++changes_;
    }
}

std::chrono::nanoseconds RateLimit::take(size_t bytes, SteadyTime now) {
    using std::chrono::nanoseconds;
    const uint64_t cap = bytes_per_second_;
    if (cap == 0) {
        return nanoseconds(0);
    }
    constexpr nanoseconds burst = std::chrono::milliseconds(100);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(cap);
    const nanoseconds cost(static_cast<int64_t>(seconds * 1e9));
    return paid_until_.with([&](SteadyTime& paid_until) {
        paid_until = std::max(paid_until, now - burst) + cost;
        return std::max(nanoseconds(paid_until - now), nanoseconds(0));
    });
}

bool RateLimit::pace(size_t bytes, const std::stop_token& stop) {
    using std::chrono::steady_clock;
    const uint64_t changes = changes_;
    const SteadyTime end = steady_clock::now() + take(bytes, steady_clock::now());
    for (auto left = end - steady_clock::now(); left.count() > 0 && changes == changes_;
         left = end - steady_clock::now()) {
        const auto pause = std::chrono::ceil<std::chrono::milliseconds>(left);
        if (sleep_unless_stopped(std::min(pause, limits::wait), stop)) {
            return true;
        }
    }
    return stop.stop_requested();
}

}  // namespace antipode::http
