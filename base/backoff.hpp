#pragma once

#include <algorithm>
#include <chrono>

namespace antipode {

/// Doubling delays between `first` and `most`; reset() after a success.
class Backoff {
  public:
    using Duration = std::chrono::milliseconds;
    explicit Backoff(Duration first = Duration(50), Duration most = Duration(5000))
        : first_(first), most_(most), next_(first) {}

    Duration next() {
        const Duration delay = next_;
        next_ = std::min(next_ * 2, most_);
        return delay;
    }
    void reset() { next_ = first_; }

    /// The delay before try number `tries` + 1, for state that lives in a database: doubling from
    /// `first`, capped at `most`.
    static Duration after(unsigned tries, Duration first, Duration most) {
        Duration delay = first;
        for (unsigned i = 1; i < tries && delay < most; ++i) {
            delay *= 2;
        }
        return std::min(delay, most);
    }

  private:
    Duration first_;
    Duration most_;
    Duration next_;
};

}  // namespace antipode
