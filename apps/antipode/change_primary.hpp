#pragma once

#include <functional>
#include <string>

#include "apps/antipode/preflight.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"

/// `antipode switchover` and `antipode promote`: write what the operator wants into the epoch
/// record, and watch the daemons do it. They do it without this program as well.
namespace antipode::cli {

struct ChangeOptions {
    std::string to;
    bool yes = false;       ///< do not ask; promote asks all the same
    std::string confirmed;  ///< the site's name, typed in advance
    bool abort = false;     ///< give up a switchover that runs
    bool dry_run = false;
    bool without_unreadable = false;              ///< rejoin: what cannot be read is given up
    std::string fenced_by;                        ///< promote: how the old primary is off
    std::string accepted_loss{};                  ///< promote: "60s"; empty: whatever it is
    std::function<std::string()> read_line = {};  ///< what the operator types
    std::function<void()> pause = {};             ///< between two looks
    std::chrono::milliseconds patience{300'000};  ///< how long to watch
};

/// Throws CommandError: Blocked (preflight, or more may be lost than was accepted), Conflict
/// (another operation runs), Failed (it was given up; the old primary serves on), TimedOut (it goes
/// on without being watched).
ExitCode switchover(const Config& config, const OpenBucket& open, const Fetch& fetch,
                    const Clock& clock, const Output& output, const ChangeOptions& options);
ExitCode promote(const Config& config, const OpenBucket& open, const Fetch& fetch,
                 const Clock& clock, const Output& output, const ChangeOptions& options);

}  // namespace antipode::cli
