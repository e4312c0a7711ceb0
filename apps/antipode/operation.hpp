#pragma once

#include <functional>
#include <string>

#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

/// `antipode op abort`, `op wait`, `op resume`: one change of the primary, which the daemons make
/// by themselves. They may be asked on any site.
namespace antipode::cli {

struct OperationOptions {
    std::string operation;             ///< empty: the one that runs, else the newest
    double timeout_seconds = 300;      ///< of watching; nothing ends with it
    std::function<void()> pause = {};  ///< between two looks
};

/// Asks for the change that runs to be given up, and does not wait. Throws CommandError: Blocked
/// (it has passed the point of no return), Failed (none runs), Unreachable, Conflict. What it gives
/// up: the operation's name.
std::string ask_to_abort(const Config& config, const OpenBucket& open, const Clock& clock,
                         const std::string& operation);
/// The same, of a switchover only: Conflict, when what runs is none.
std::string ask_to_abort_switchover(const Config& config, const OpenBucket& open,
                                    const Clock& clock);

/// The same, until everything is as it was before. Throws, too: Blocked (the word came too late),
/// TimedOut, Unreachable (a daemon that has to act does not answer until the time is over).
ExitCode abort_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                         const Clock& clock, const Output& output, const OperationOptions& options);

/// Until it is over on all sites that answer. Throws CommandError: Failed (it was given up),
/// Unknown (no site remembers how it ended), Usage (none of that name), TimedOut, Unreachable.
ExitCode wait_for_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                            const Clock& clock, const Output& output,
                            const OperationOptions& options);

/// The same, once the sites whose step has failed are told to try it again at once.
ExitCode resume_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                          const Clock& clock, const Output& output,
                          const OperationOptions& options);

}  // namespace antipode::cli
