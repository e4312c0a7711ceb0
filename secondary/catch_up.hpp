#pragma once

#include <chrono>
#include <optional>

#include "base/clock.hpp"
#include "base/growth.hpp"

namespace antipode::secondary {

/// How fast a lane catches up, measured over the last minute: what was captured meanwhile counts,
/// for both are times of the primary's clock. Passive; one thread.
class CatchUp {
  public:
    /// Everything captured up to there is applied now. More than once in a second is no news.
    void note(SteadyTime now, TimePoint applied_through);
    /// Seconds of the primary's time that are applied in one second; nullopt: not known yet.
    std::optional<double> rate() const;
    /// Until a lag of so many seconds is gone at this rate; 0 when it is no backlog. nullopt: that
    /// is not known, or it is never gone at this rate.
    std::optional<double> seconds_left(double lag_seconds) const;

  private:
    Growth applied_{{.most = std::chrono::minutes(1),
                     .least = std::chrono::seconds(5),
                     .between = std::chrono::seconds(1)}};
};

}  // namespace antipode::secondary
