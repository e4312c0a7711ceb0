#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/synchronized.hpp"

namespace antipode {

/// Looks now and then whether this site's databases could be fenced: that the fencer's role may not
/// is to be known before the lease ends. In a thread of its own, because a server that hangs must
/// hold up nothing; what comes and goes with sessions is the daemon's readiness to say. Owner: the
/// fencer.
class RightsWatch {
  public:
    RightsWatch(const Config& config, const Clock& clock) : config_(config), clock_(clock) {}

    /// From now on a thread looks, at once and every minute, for as long as it is wanted.
    void start();
    /// Any thread: whether the fencer may have to close them.
    void want(bool wanted) { wanted_ = wanted; }
    /// Looks at each database once; takes up to ten seconds when all of them hang.
    void look();
    /// Any thread: why a database could not be fenced; empty: all could, or it is not known yet.
    std::string problem() const;

  private:
    struct Found {
        std::string problem;
        unsigned unanswered = 0;  ///< looks in a row
    };
    void run(const std::stop_token& stop);
    void look_at(const Config::Database& store);
    std::chrono::seconds pause() const;

    const Config& config_;
    const Clock& clock_;
    std::atomic<bool> wanted_ = false;
    Synchronized<std::map<std::string, Found>> found_;  ///< by the names of stores
    std::jthread thread_;                               // last: ends before what it uses
};

}  // namespace antipode
