#include "secondary/catch_up.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::seconds window(60);
constexpr std::chrono::seconds least_between(1);
constexpr std::chrono::seconds least_span(5);
/// Less is how far apart markers are, not a backlog.
constexpr double no_backlog_seconds = 10;
/// So close to 1, it is an error of the measurement.
constexpr double least_gain = 0.02;

double seconds(auto duration) {
    return std::chrono::duration<double>(duration).count();
}

}  // namespace

void CatchUp::note(SteadyTime now, TimePoint applied_through) {
    if (!samples_.empty() && applied_through < samples_.back().applied_through) {
        samples_.clear();  // it is copied, or read, again
    }
    if (!samples_.empty() && now - samples_.back().at < least_between) {
        return;
    }
    samples_.push_back({now, applied_through});
    while (now - samples_.front().at > window) {
        samples_.pop_front();
    }
}

std::optional<double> CatchUp::rate() const {
    if (samples_.empty() || samples_.back().at - samples_.front().at < least_span) {
        return std::nullopt;
    }
    return seconds(samples_.back().applied_through - samples_.front().applied_through) /
           seconds(samples_.back().at - samples_.front().at);
}

std::optional<double> CatchUp::seconds_left(double lag_seconds) const {
    if (lag_seconds < no_backlog_seconds) {
        return 0;
    }
    const auto gained = rate();
    return gained && *gained > 1 + least_gain ? std::optional(lag_seconds / (*gained - 1))
                                              : std::nullopt;
}

}  // namespace antipode::secondary
