#include "base/growth.hpp"

#include <algorithm>

namespace antipode {

void Growth::note(SteadyTime now, double total) {
    if (!samples_.empty() && total < samples_.back().total) {
        samples_.clear();
    }
    if (!samples_.empty() && now - samples_.back().at < span_.between) {
        return;
    }
    samples_.push_back({now, total});
    while (now - samples_.front().at > span_.most) {
        samples_.pop_front();
    }
}

std::optional<double> Growth::per_second() const {
    if (samples_.empty() || samples_.back().at - samples_.front().at < span_.least) {
        return std::nullopt;
    }
    return (samples_.back().total - samples_.front().total) /
           std::chrono::duration<double>(samples_.back().at - samples_.front().at).count();
}

std::optional<double> Growth::seconds_for(double room) const {
    const auto rate = per_second();
    return rate && *rate > 0 ? std::optional(std::max(0.0, room) / *rate) : std::nullopt;
}

}  // namespace antipode
