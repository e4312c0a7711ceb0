#pragma once

#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "tests/simulation/chance.hpp"
#include "tests/simulation/journal.hpp"

namespace antipode::simulation {

enum class Side { Nobody, Primary, Secondary };

/// The daemon of this side is killed here. Not an Error: nothing in the daemon may catch it.
struct Crash {
    Side side = Side::Nobody;
};

/// How often what goes wrong; 0: never. Every seed has a profile of its own.
struct Profile {
    size_t crash = 0;       ///< one in so many calls of a seam
    size_t error = 0;       ///< the same: Error{Retry}
    size_t append = 0;      ///< an append fails with a prefix stored
    size_t lose_tail = 0;   ///< one in so many steps: a broker loses its newest messages
    size_t make_anew = 0;   ///< a broker loses everything
    size_t damage = 0;      ///< a broker loses one message
    size_t overflow = 0;    ///< one in so many drains
    size_t reconcile = 0;   ///< one in so many reconciles fails or sees a part only
    size_t bad_apply = 0;   ///< one in so many items is applied wrongly, or not at all
    size_t lost_wants = 0;  ///< one in so many requests
    size_t unwatched = 0;   ///< one in so many sites has no watch of its repositories
    size_t large = 3;       ///< one in so many contents is pulled
    size_t stray = 0;       ///< one in so many steps: somebody else writes into a stream
};

/// Faults that are in the daemons' surroundings for good: a checker worth its name finds each.
enum class Sabotage {
    None,
    LyingApply,     ///< items are reported as applied, and are not
    DeafWatch,      ///< a watch that loses events and does not say so
    EarlyDecoding,  ///< decoding claims to have come further than it has
    Eager,          ///< rows do not wait
    SkippedGap,     ///< a gap is declared mended
    EarlyConfirm,   ///< the slot is confirmed up to what is stored here only
    PositionFirst,  ///< the database's position is moved before the data, not with it
    AppliedTwice,   ///< repeated transactions are applied again
};

/// Decides, call by call, what goes wrong. The step that runs says whose call it is.
class Faults {
  public:
    Faults(Chance& chance, Journal& journal) : chance_(chance), journal_(journal) {}

    Profile profile;
    Sabotage sabotage = Sabotage::None;
    Side running = Side::Nobody;

    /// A call of a seam: may be the last thing that this daemon does.
    void crash_point(const std::string& where) {
        if (running != Side::Nobody && chance_.one_in(profile.crash)) {
            journal_.note("CRASH of the " +
                          std::string(running == Side::Primary ? "primary" : "secondary") + " in " +
                          where);
            throw Crash{running};
        }
    }
    /// A call of a seam: may crash, or fail before it did anything.
    void call(const std::string& where) {
        crash_point(where);
        if (running != Side::Nobody && chance_.one_in(profile.error)) {
            journal_.note("error in " + where);
            throw Error(Reaction::Retry, where + " failed");
        }
    }
    bool happens(size_t Profile::*what) {
        return running != Side::Nobody && chance_.one_in(profile.*what);
    }
    Chance& chance() { return chance_; }
    Journal& journal() { return journal_; }

  private:
    Chance& chance_;
    Journal& journal_;
};

/// The daemons' clock. Reading it is a call of a seam, too: so they crash between any two steps.
class DaemonClock final : public Clock {
  public:
    DaemonClock(const ManualClock& clock, Faults& faults) : clock_(clock), faults_(faults) {}
    TimePoint now() const override {
        faults_.crash_point("now");
        return clock_.now();
    }
    SteadyTime steady_now() const override {
        faults_.crash_point("steady_now");
        return clock_.steady_now();
    }

  private:
    const ManualClock& clock_;
    Faults& faults_;
};

}  // namespace antipode::simulation
