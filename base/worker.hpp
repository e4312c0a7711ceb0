#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/backoff.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/synchronized.hpp"

namespace antipode {

/// What a worker tells status: what it waits for, since when, and what the operator can do.
struct WorkerState {
    std::string name;
    bool healthy = false;
    std::string problem;    ///< empty while healthy or starting
    std::string next_step;  ///< may be empty
    TimePoint since;        ///< when `healthy` last changed
    unsigned failures = 0;  ///< in a row
};

/// One thread that runs `body` again and again: the only place where errors are caught. A body
/// blocks, reads top to bottom, returns when its stop token fires, and throws Error when it cannot
/// go on; it is then logged once (again when the text changes), and called again after a growing
/// delay. The body calls Progress::healthy() whenever it got something done; that ends the delay's
/// growth. The destructor stops and joins. Owner: whoever wires the program.
class Worker {
  public:
    class Progress {
      public:
        explicit Progress(Worker& worker) : worker_(worker) {}
        void healthy() { worker_.mark_healthy(); }
        /// Not an error, but worth showing: "waiting for the epoch record".
        void waiting_for(const std::string& what, const std::string& next_step = {}) {
            worker_.mark_problem(what, next_step);
        }

      private:
        Worker& worker_;
    };
    using Body = std::function<void(std::stop_token, Progress)>;

    Worker(std::string name, const Clock& clock, Body body, Backoff backoff = Backoff());
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    WorkerState state() const { return state_.copy(); }
    void request_stop() { thread_.request_stop(); }

  private:
    void run(const std::stop_token& stop);
    void mark_healthy();
    void mark_problem(const std::string& problem, const std::string& next_step);

    const Clock& clock_;
    Body body_;
    Backoff backoff_;
    Synchronized<WorkerState> state_;
    std::jthread thread_;
};

/// Waits for `duration` or the stop token. True when it was stopped.
bool sleep_unless_stopped(std::chrono::milliseconds duration, const std::stop_token& stop);

}  // namespace antipode
