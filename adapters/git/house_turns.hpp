#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

namespace antipode::git {

/// Who keeps house in which repository: one at a time, and nobody while the repository is taken
/// away. Thread-safe.
class HouseTurns {
  public:
    /// Ends with the object.
    class Turn {
      public:
        Turn(HouseTurns& turns, std::string name, const std::stop_token& stop);
        ~Turn();
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        /// Fires when the caller's token does, and when the repository is to be left.
        std::stop_token token() const { return stop_.get_token(); }

      private:
        HouseTurns& turns_;
        const std::string name_;
        std::stop_source stop_;
        std::stop_callback<std::function<void()>> forward_;
    };

    /// nullptr: somebody has the turn, and still has it after `patience`, or when `stop` fires.
    std::unique_ptr<Turn> begin(const std::string& name, std::chrono::milliseconds patience,
                                const std::stop_token& stop);
    /// The turn of whoever takes the repository away: ends that of whoever has it, and waits.
    std::unique_ptr<Turn> take(const std::string& name);

  private:
    std::mutex mutex_;
    std::condition_variable_any ended_;
    std::map<std::string, std::stop_source> running_;
};

}  // namespace antipode::git
