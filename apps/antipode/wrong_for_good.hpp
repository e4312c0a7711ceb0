#pragma once

#include <chrono>
#include <optional>

#include "base/clock.hpp"

namespace antipode::cli {

/// When what is wrong on a secondary counts as found. Under load something always is that was
/// replaced on the primary before its content came, and what waits here to be applied mends it:
/// that is waited for while it comes nearer. All times are of the site's clock. One thread.
class WrongForGood {
  public:
    /// What was found wrong is given so long to come again.
    static constexpr std::chrono::seconds mended_within{60};

    /// Call it at each look. `since`: when what is wrong for the longest was found so; `applied`:
    /// until when everything is applied, nullopt when that is unknown.
    bool judge(const std::optional<TimePoint>& since, const std::optional<TimePoint>& applied,
               TimePoint now) {
        if (!moved_at_ || applied != applied_) {
            applied_ = applied;
            moved_at_ = now;
        }
        const bool is_past = since && applied && *applied > *since + mended_within;
        return !since || is_past || now - *moved_at_ > mended_within;
    }

  private:
    std::optional<TimePoint> applied_;
    std::optional<TimePoint> moved_at_;
};

}  // namespace antipode::cli
