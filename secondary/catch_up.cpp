#include "secondary/catch_up.hpp"

namespace antipode::secondary {
namespace {

/// Less is how far apart markers are, not a backlog.
constexpr double no_backlog_seconds = 10;
/// So close to 1, it is an error of the measurement.
constexpr double least_gain = 0.02;

}  // namespace

void CatchUp::note(SteadyTime now, TimePoint applied_through) {
    applied_.note(now, std::chrono::duration<double>(applied_through.time_since_epoch()).count());
}

std::optional<double> CatchUp::rate() const {
    return applied_.per_second();
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
