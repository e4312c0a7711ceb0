#pragma once

#include <chrono>
#include <deque>
#include <optional>

#include "base/clock.hpp"

namespace antipode {

/// How fast something that only grows does, measured over the last ten minutes. Passive; one
/// thread.
class Growth {
  public:
    /// It is so much now. Less than before: it began anew. More than once in two seconds is no
    /// news.
    void note(SteadyTime now, double total);
    /// nullopt: not known yet.
    std::optional<double> per_second() const;
    /// Until `room` more is used up at this rate; nullopt: that is not known, or never.
    std::optional<double> seconds_for(double room) const;

  private:
    struct Sample {
        SteadyTime at;
        double total;
    };
    std::deque<Sample> samples_;
};

}  // namespace antipode
