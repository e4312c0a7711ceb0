#pragma once

#include <chrono>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace antipode::failover {

/// A command of the site's configuration, such as one that stops the service. It must be able to
/// run twice.
struct SiteCommand {
    std::string key;                     ///< "failover.fence_command", for messages
    std::vector<std::string> arguments;  ///< the first is an absolute path; empty: none is set
    std::chrono::milliseconds timeout{30'000};
    std::chrono::milliseconds grace{2'000};  ///< from SIGTERM to SIGKILL, when it is ended
};

/// Its exit status; 0 when none is set. `environment` is added to PATH and the like; no shell, no
/// secrets. Throws Error{Retry} when it cannot be started or takes too long; Stopped when `stop`
/// fires. In both cases all its processes are ended, but for those that have left its session.
struct CommandOutcome {
    int status = 0;
    std::string complaint;  ///< the end of what it said on stderr
};
CommandOutcome run(const SiteCommand& command,
                   const std::map<std::string, std::string>& environment,
                   const std::stop_token& stop = {});

/// The same; throws Error{Retry} when it fails.
void must_run(const SiteCommand& command, const std::map<std::string, std::string>& environment,
              const std::stop_token& stop = {});

}  // namespace antipode::failover
