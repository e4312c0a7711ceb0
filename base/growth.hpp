#pragma once

#include <chrono>
#include <deque>
#include <optional>

#include "base/clock.hpp"

namespace antipode {

/// How fast something that only grows does, measured over the last minutes. Passive; one thread.
class Growth {
  public:
    struct Span {
        std::chrono::seconds most{600};   ///< what is older is forgotten
        std::chrono::seconds least{10};   ///< less says nothing yet
        std::chrono::seconds between{2};  ///< what is noted sooner is no news
    };
    Growth() = default;
    explicit Growth(Span span) : span_(span) {}

    /// It is so much now. Less than before: it began anew.
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
    Span span_;
    std::deque<Sample> samples_;
};

}  // namespace antipode
