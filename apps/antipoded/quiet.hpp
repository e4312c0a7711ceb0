#pragma once

#include <chrono>
#include <string>

#include "base/clock.hpp"

namespace antipode {

/// Nothing more comes when nothing has moved for a while. Passive; one thread.
class Quiet {
  public:
    using Time = std::chrono::steady_clock::duration;
    /// Time in which nobody looked counts for `unseen` at most: nothing could move, or it moved.
    explicit Quiet(const Clock& clock, Time unseen = Time::max())
        : clock_(clock), unseen_(unseen) {}

    /// What is seen now; `at_work`: it is about to move. True: it has stood still for `time`.
    bool look(const std::string& seen, bool at_work, Time time);
    /// Whatever was seen, its time begins anew.
    void forget() { still_ = {}; }

  private:
    const Clock& clock_;
    const Time unseen_;
    std::string seen_;
    Time still_{};
    SteadyTime looked_at_{};
};

}  // namespace antipode
