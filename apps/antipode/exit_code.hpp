#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace antipode::cli {

/// How `antipode` ends. An interface for scripts: docs/CLI.md lists the numbers.
enum class ExitCode {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Findings = 3,  ///< doctor found something
    Blocked = 4,   ///< something stands in the way; see its next step
    Unreachable = 5,
    Unknown = 6,   ///< what was asked for is not known (yet)
    Denied = 7,    ///< this user, or who has this token, may not
    TimedOut = 8,  ///< it goes on without being watched
    Conflict = 9,
    Interrupted = 130,
};

/// "unreachable": what the number means, for JSON.
std::string_view to_string(ExitCode code);

/// Ends a command: the text for people, the next step ("Try: ..."), the exit code. main() alone
/// catches it.
class CommandError : public std::runtime_error {
  public:
    CommandError(ExitCode code, const std::string& what, std::string next_step)
        : std::runtime_error(what), code_(code), next_step_(std::move(next_step)) {}

    ExitCode code() const noexcept { return code_; }
    const std::string& next_step() const noexcept { return next_step_; }

  private:
    ExitCode code_;
    std::string next_step_;
};

}  // namespace antipode::cli
