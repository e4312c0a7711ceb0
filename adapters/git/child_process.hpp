#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

/// Runs a program to its end.
namespace antipode::git {

struct Command {
    std::vector<std::string> arguments;    ///< the first is the program's absolute path
    std::vector<std::string> environment;  ///< all of it: "NAME=value"
    std::string_view input;                ///< its stdin, unless `input_file` is set
    std::filesystem::path input_file;
    std::filesystem::path output_file;  ///< where stdout goes (made anew); empty: into Outcome
    size_t output_limit = 256UL << 20;  ///< more on stdout is an Error
    size_t error_limit = 16UL << 10;    ///< what is kept of stderr, the end
    /// Gets each piece of stderr as it comes; may be empty.
    std::function<void(std::string_view piece)> on_error{};
    std::chrono::milliseconds grace{2000};  ///< from SIGTERM to SIGKILL
};

struct Outcome {
    int status = -1;     ///< exit status; -1: ended by a signal
    std::string output;  ///< stdout
    std::string error;   ///< the end of stderr

    bool ok() const { return status == 0; }
    /// What it said on stderr, in one line, for messages.
    std::string complaint() const;
};

/// The child has no other open files, a session of its own, and default signal handling; it is sent
/// SIGTERM (on which git removes its lock files) when the stop token fires or this process dies,
/// and SIGKILL `grace` after the token. Throws Error{Retry} when it cannot be started or passes
/// a limit, Stopped on the token. A failing program is an Outcome.
Outcome run(const Command& command, const std::stop_token& stop);

}  // namespace antipode::git
