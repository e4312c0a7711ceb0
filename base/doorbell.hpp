#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace antipode {

/// Wakes a worker that otherwise looks at something from time to time. Who rings may be a little
/// ahead of what there is to see: for a second after that every wait is short. Any thread rings,
/// one waits.
class Doorbell {
  public:
    void ring();
    /// Until it is rung (also before the call), for `longest` at most. True: it was rung; false:
    /// also when it was stopped.
    bool wait(std::chrono::milliseconds longest, const std::stop_token& stop);

  private:
    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool rung_ = false;
    std::chrono::steady_clock::time_point look_often_until_{};  ///< of whoever waits
};

}  // namespace antipode
