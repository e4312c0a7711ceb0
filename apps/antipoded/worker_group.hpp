#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/worker.hpp"

namespace antipode {

/// Equal workers, numbered from 1, whose number can be changed while they run. Thread-safe.
class WorkerGroup {
  public:
    /// `step` is called again and again by each, concurrently.
    WorkerGroup(std::string name, std::function<void(const std::stop_token&)> step,
                const Clock& clock);
    ~WorkerGroup();

    /// Those that are too many are stopped; returns when they have ended, within a second or so.
    void set_size(unsigned size);
    std::vector<WorkerState> states() const;

  private:
    const std::string name_;
    const std::function<void(const std::stop_token&)> step_;
    const Clock& clock_;
    std::mutex changing_;       ///< one at a time
    mutable std::mutex mutex_;  ///< the list
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace antipode
