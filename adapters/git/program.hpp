#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/git/child_process.hpp"

namespace antipode::git {

/// The `git` program, run on one repository in a clean environment: no system or user
/// configuration, no hooks, no protocols, no prompts, no replaced objects, no reference logs;
/// everything it writes is synced. Thread-safe.
class Program {
  public:
    struct Call {
        std::vector<std::string> arguments = {};
        std::vector<std::string> settings = {};     ///< further "name=value" after -c
        std::vector<std::string> environment = {};  ///< further "NAME=value"
        std::string_view input = {};
        std::filesystem::path input_file = {};
        std::filesystem::path output_file = {};
        size_t error_limit = Command{}.error_limit;
        std::function<void(std::string_view piece)> on_error{};
    };

    /// Finds git on this process's PATH. Throws Error{Stop} when there is none.
    Program();

    /// `git_dir` may be empty for commands that need no repository.
    Outcome run(const std::filesystem::path& git_dir, const Call& call,
                const std::stop_token& stop) const;

    /// Its absolute path.
    const std::string& executable() const { return executable_; }

  private:
    std::string executable_;
};

/// Raw object ids as git reads them from its input.
std::string hex_lines(const std::vector<std::string>& oids);

/// Whether `outcome` speaks of the disk or of permissions, not of git's own data.
bool is_system_trouble(const Outcome& outcome);
/// The lock file that git says is held by somebody else; empty when it says no such thing.
std::string held_lock(const Outcome& outcome);

/// Throws Error{Retry} for a failed command; names the lock if that is why.
[[noreturn]] void throw_failure(const std::string& doing, const Outcome& outcome);

}  // namespace antipode::git
