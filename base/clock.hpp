#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace antipode {

/// Wall-clock time in microseconds: what travels in events and is shown to people.
using TimePoint = std::chrono::sys_time<std::chrono::microseconds>;
/// Monotonic time: what deadlines and backoff count on.
using SteadyTime = std::chrono::steady_clock::time_point;

/// CLOCK_BOOTTIME: time since this machine's boot, also while it slept. The same for all its
/// processes; no setting of the clock moves it. What a lease is counted on.
struct BootClock {
    using duration = std::chrono::microseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootClock>;
    static constexpr bool is_steady = true;
    static time_point now();
};
using BootTime = BootClock::time_point;

/// The only source of time in the core, so that a simulation can own it. Thread-safe.
class Clock {
  public:
    virtual ~Clock() = default;
    virtual TimePoint now() const = 0;
    virtual SteadyTime steady_now() const = 0;
    /// A test's clock need not tell the two apart.
    virtual BootTime boot_now() const {
        return BootTime(
            std::chrono::duration_cast<std::chrono::microseconds>(steady_now().time_since_epoch()));
    }
};

class SystemClock final : public Clock {
  public:
    TimePoint now() const override {
        return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    }
    SteadyTime steady_now() const override { return std::chrono::steady_clock::now(); }
    BootTime boot_now() const override { return BootClock::now(); }
};

/// A clock that stands still until it is told to move.
class ManualClock final : public Clock {
  public:
    TimePoint now() const override { return TimePoint(std::chrono::microseconds(now_.load())); }
    SteadyTime steady_now() const override {
        return SteadyTime(std::chrono::microseconds(now_.load()));
    }
    void advance(std::chrono::microseconds by) { now_ += by.count(); }

  private:
    std::atomic<int64_t> now_{1'600'000'000'000'000};
};

inline int64_t to_microseconds(TimePoint time) {
    return time.time_since_epoch().count();
}
inline TimePoint from_microseconds(int64_t microseconds) {
    return TimePoint(std::chrono::microseconds(microseconds));
}

/// "2026-11-22T14:40:05.123Z"
std::string to_iso8601(TimePoint time);

}  // namespace antipode
