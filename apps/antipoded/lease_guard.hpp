#pragma once

#include <atomic>
#include <string>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/lease_closer.hpp"

namespace antipode {

/// Closes this site's fences when its lease ends and antipode-fencer does not run: that one is
/// needed because the daemon is what may hang, but where it died the daemon does what it can. It
/// opens nothing: the fencer does, when it is back. One thread.
class LeaseGuard {
  public:
    LeaseGuard(const Config& config, const Clock& clock);

    /// Looks, and closes what is to be closed. Throws Error when a fence does not close.
    void step();
    /// Any thread: it has closed the fences, and they held a moment ago.
    bool has_closed() const { return has_closed_; }

  private:
    bool is_alone() const;
    void leave();

    const Config& config_;
    const Clock& clock_;
    const std::string boot_;
    failover::LeaseCloser closer_;
    std::atomic<bool> has_closed_ = false;
};

}  // namespace antipode
