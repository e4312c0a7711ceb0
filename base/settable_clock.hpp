#pragma once

#include "base/clock.hpp"

namespace antipode {

/// A ManualClock whose calendar somebody sets, which need not go forward. For tests.
class SettableClock final : public Clock {
  public:
    TimePoint now() const override { return manual_.now() + ahead_; }
    SteadyTime steady_now() const override { return manual_.steady_now(); }
    void advance(std::chrono::microseconds by) { manual_.advance(by); }
    void jump(std::chrono::microseconds by) { ahead_ += by; }

  private:
    ManualClock manual_;
    std::chrono::microseconds ahead_{0};
};

}  // namespace antipode
