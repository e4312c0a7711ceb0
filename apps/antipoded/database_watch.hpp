#pragma once

#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "adapters/postgres/lock_watch.hpp"
#include "adapters/postgres/skip_log.hpp"
#include "adapters/postgres/write_fence.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode {

/// Stands beside the apply of one database: ends readers that hold it up for too long, and keeps
/// everybody else from writing. One worker each, so that neither waits for the other's trouble;
/// status reads it from any thread.
class DatabaseWatch {
  public:
    DatabaseWatch(std::string store, const postgres::LockWatch::Options& locks,
                  postgres::DatabaseFence::Options fence)
        : store_(std::move(store)),
          locks_(locks),
          fence_(std::move(fence)),
          skips_(locks.url, locks.application_name) {}

    void run_locks(const std::stop_token& stop, Worker::Progress progress);
    void run_fence(const std::stop_token& stop, Worker::Progress progress);

    struct Problem {
        std::string reason;
        std::string next_step;
    };
    /// What apply waits for now.
    std::optional<Problem> held_up() const;
    /// Who should not write and could, or should read and cannot.
    std::optional<Problem> fence_problem() const;
    /// What an operator has left out and is not equal again: it stays in sight.
    std::optional<Problem> skipped_problem() const;
    /// "skipped" of the store in /v1/status: how many transactions, and the last one.
    nlohmann::json show_skipped() const;
    /// "15.4"; nullopt: the server was not asked yet.
    std::optional<std::string> server_version() const;
    /// "read_only" of the store in /v1/status.
    nlohmann::json show_fence() const;

  private:
    struct Seen {
        std::optional<postgres::HeldUp> held_up;
        std::optional<FenceState> fence;
        std::vector<postgres::Skipped> skipped;
    };
    void watch_locks();
    void keep_closed();
    void read_skipped();

    const std::string store_;
    postgres::LockWatch locks_;      ///< the first worker's
    postgres::DatabaseFence fence_;  ///< the second's
    postgres::Control skips_;        ///< the second's
    Synchronized<Seen> seen_;
};

}  // namespace antipode
