#include "adapters/http/rate_limit.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace antipode::http {

size_t chunk_size(uint64_t bytes_per_second) {
    constexpr size_t most = 128 * limits::kib;
    return bytes_per_second == 0 ? most : std::clamp<size_t>(bytes_per_second / 8, 1024, most);
}

std::chrono::nanoseconds RateLimit::take(size_t bytes, SteadyTime now) {
    using std::chrono::nanoseconds;
    if (bytes_per_second_ == 0) {
        return nanoseconds(0);
    }
    constexpr nanoseconds burst = std::chrono::milliseconds(100);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    const nanoseconds cost(static_cast<int64_t>(seconds * 1e9));
    return paid_until_.with([&](SteadyTime& paid_until) {
        paid_until = std::max(paid_until, now - burst) + cost;
        return std::max(nanoseconds(paid_until - now), nanoseconds(0));
    });
}

}  // namespace antipode::http
