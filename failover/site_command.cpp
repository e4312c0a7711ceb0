#include "failover/site_command.hpp"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <spdlog/spdlog.h>

#include "adapters/git/child_process.hpp"
#include "base/error.hpp"

namespace antipode::failover {
namespace {

constexpr size_t longest_output = 1 << 20;

/// Fires its token when the time is up, or with `stop`, unless it is destroyed before.
class Deadline {
  public:
    Deadline(std::chrono::milliseconds timeout, const std::stop_token& stop)
        : on_stop_(stop, [this] { source_.request_stop(); }),
          thread_([this, timeout](const std::stop_token& over) {
              std::unique_lock lock(mutex_);
              over_.wait_for(lock, over, timeout, [] { return false; });
              if (!over.stop_requested()) {
                  source_.request_stop();
              }
          }) {}
    std::stop_token token() const { return source_.get_token(); }

  private:
    std::stop_source source_;
    std::stop_callback<std::function<void()>> on_stop_;
    std::mutex mutex_;
    std::condition_variable_any over_;
    std::jthread thread_;
};

}  // namespace

CommandOutcome run(const SiteCommand& command,
                   const std::map<std::string, std::string>& environment,
                   const std::stop_token& stop) {
    if (command.arguments.empty()) {
        return {};
    }
    git::Command child;
    child.arguments = command.arguments;
    child.output_limit = longest_output;
    child.grace = command.grace;
    child.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "LC_ALL=C.UTF-8"};
    for (const auto& [name, value] : environment) {
        child.environment.push_back(name + "=" + value);
    }
    const Deadline deadline(command.timeout, stop);
    try {
        const git::Outcome outcome = git::run(child, deadline.token());
        spdlog::info("{}: exit status {}{}", command.key, outcome.status,
                     outcome.error.empty() ? "" : ": " + outcome.complaint());
        return {outcome.status, outcome.complaint()};
    } catch (const Stopped&) {
        if (stop.stop_requested()) {
            throw;
        }
        throw Error(Reaction::Retry,
                    command.key + " took longer than " +
                        std::to_string(command.timeout.count() / 1000) + " s",
                    "run it by hand; failover.command_timeout");
    }
}

void must_run(const SiteCommand& command, const std::map<std::string, std::string>& environment,
              const std::stop_token& stop) {
    const CommandOutcome outcome = run(command, environment, stop);
    if (outcome.status != 0) {
        throw Error(Reaction::Retry,
                    command.key + " failed with exit status " + std::to_string(outcome.status) +
                        (outcome.complaint.empty() ? "" : ": " + outcome.complaint),
                    "run it by hand as the daemon's user");
    }
}

}  // namespace antipode::failover
