#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "base/clock.hpp"
#include "base/seams/repositories.hpp"

namespace antipode::secondary {

/// Keeps the repositories of one store fast to read while they are written: those that changed
/// soon, all of them once a day. One repository at a time, in the idle I/O class, niced, and
/// resting as long as it worked: no more than half of one processor. A repository that cannot be
/// kept is logged, and in nobody's way. Owner: the store; step() on a thread of its own, the rest
/// on any.
class Housekeeping {
  public:
    /// Those of which `waits` is true are left alone until they are noted once more.
    Housekeeping(Repositories& repositories, const Clock& clock,
                 std::function<bool(const std::string& name)> waits = {});

    /// It changed, by so many bytes. Small changes add up before anybody looks.
    void note(const std::string& name, uint64_t bytes = UINT64_MAX);
    /// Whether something of it may have been changed by this at the time or later; any thread.
    bool kept_since(const std::string& name, TimePoint time) const;
    /// Keeps one repository, of which something may be due; waits a moment when there is none.
    void step(const std::stop_token& stop);

  private:
    std::string next(const std::stop_token& stop);
    bool keep(const std::string& name, const std::stop_token& stop);
    void note_end(const std::string& name, bool worked);

    Repositories& repositories_;
    const Clock& clock_;
    const std::function<bool(const std::string& name)> waits_;
    SteadyTime walk_due_;
    std::string last_problem_;
    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable_any noted_;
    std::set<std::string> names_;  ///< that are to be looked at
    struct Small {
        size_t changes = 0;
        uint64_t bytes = 0;
    };
    std::map<std::string, Small> small_;  ///< what changed little since
    std::string last_;  ///< names go round: one that changes all the time keeps up no other
    std::string kept_now_;
    std::map<std::string, TimePoint> kept_;  ///< lately, and when that ended
};

}  // namespace antipode::secondary
