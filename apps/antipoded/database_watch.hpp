#pragma once

#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "adapters/postgres/lock_watch.hpp"
#include "adapters/postgres/write_fence.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode {

/// Stands beside the apply of one database: ends readers that hold it up for too long, and keeps
/// everybody else from writing. One worker runs it; status reads it from any thread.
class DatabaseWatch {
  public:
    DatabaseWatch(postgres::LockWatch::Options locks, postgres::DatabaseFence::Options fence)
        : locks_(std::move(locks)), fence_(std::move(fence)) {}

    void run(const std::stop_token& stop, Worker::Progress progress);

    struct Problem {
        std::string reason;
        std::string next_step;
    };
    /// What apply waits for now.
    std::optional<Problem> held_up() const;
    /// Who should not write and could, or should read and cannot.
    std::optional<Problem> fence_problem() const;
    /// "read_only" of the store in /v1/status.
    nlohmann::json show_fence() const;

  private:
    struct Seen {
        std::optional<postgres::HeldUp> held_up;
        std::optional<FenceState> fence;
    };
    void watch_locks();
    void keep_closed();

    postgres::LockWatch locks_;      ///< the worker's
    postgres::DatabaseFence fence_;  ///< the worker's
    Synchronized<Seen> seen_;
};

}  // namespace antipode
