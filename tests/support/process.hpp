#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace antipode::test {

/// A child process that dies with the test. Its output goes to a file (or is dropped).
class Process {
  public:
    struct Options {
        std::filesystem::path log;                       ///< stdout and stderr; empty: /dev/null
        std::filesystem::path directory;                 ///< working directory; empty: the test's
        std::map<std::string, std::string> environment;  ///< added to the test's own
        bool as_unprivileged_user = false;  ///< when the test runs as root: as user "postgres"
    };

    Process() = default;
    Process(std::vector<std::string> command, const Options& options);
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;
    ~Process();

    pid_t pid() const { return pid_; }
    bool running();
    /// SIGSTOP: every thread stands still when this returns.
    void signal(int number);
    /// kill -9 and wait.
    void kill();
    /// SIGTERM (or `number`), wait up to `timeout`, then kill -9. The exit status; -1 when killed.
    int stop(std::chrono::milliseconds timeout = std::chrono::seconds(20), int number = 15);
    /// The signal that ended it, after it was seen to be ended; 0: it ended by itself.
    int ended_by() const { return ended_by_; }
    /// Waits for the process to end by itself; nullopt after `timeout`.
    std::optional<int> wait(std::chrono::milliseconds timeout);

  private:
    pid_t pid_ = -1;
    int ended_by_ = 0;
};

struct CommandResult {
    int status = -1;
    std::string output;  ///< stdout
    std::string error;   ///< stderr
};

/// Runs a command to its end, with `input` on its stdin.
CommandResult run(const std::vector<std::string>& command, const std::string& input = {},
                  const Process::Options& options = {});
/// The same; throws when the command fails. Returns stdout without the last newline.
std::string must_run(const std::vector<std::string>& command, const std::string& input = {},
                     const Process::Options& options = {});

/// Those that `parent` has now, dead ones that nobody has waited for among them.
std::vector<pid_t> children_of(pid_t parent);

/// kill -9 for a child of this process after `delay`, wherever it is then. Its wait status.
int kill_after(pid_t child, std::chrono::microseconds delay);

/// A TCP port on loopback that is free, and that no other program of the tests is given while
/// this one runs. Any thread.
int free_port();

/// Polls `condition` every few milliseconds. False when it did not come true in time.
bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds timeout = std::chrono::seconds(30));

}  // namespace antipode::test
