#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/postgres/control.hpp"

namespace antipode::postgres {

/// What keeps a writing session of the daemon waiting.
struct HeldUp {
    struct Blocker {
        int pid = 0;         ///< 0: a prepared transaction
        std::string who;     ///< "reader, psql, idle in transaction for 12 s: SELECT ..."
        std::string ended;   ///< how this look ended it: "cancelled", "disconnected"
        std::string remedy;  ///< not empty: it cannot be ended from here
    };
    std::string lock;  ///< on "public.items"
    std::chrono::milliseconds waited{0};
    std::vector<Blocker> blockers;

    std::string to_string() const;
    std::string next_step(std::chrono::milliseconds grace) const;
};

/// Readers hold up nothing but what needs a table for itself: TRUNCATE, DDL. After `grace` the
/// sessions that are in the way, and no others, are ended: running statements are cancelled, idle
/// transactions and what a cancel did not move are disconnected. The daemon's own writing sessions
/// wait for each other in peace.
///
/// Owner: one thread, with a connection of its own, beside the sessions that it watches. Errors as
/// Connection's.
class LockWatch {
  public:
    struct Options {
        std::string url;
        std::string application_name;
        std::string writer;  ///< the application name of the sessions that it watches
        std::chrono::milliseconds grace{30000};
    };
    explicit LockWatch(Options options)
        : options_(std::move(options)), control_(options_.url, options_.application_name) {}

    /// Looks once; nullopt: no writing session waits. What waits longest is told of.
    std::optional<HeldUp> look();
    /// Has the writing sessions give up waiting: the daemon stops.
    void let_go();
    std::chrono::milliseconds grace() const { return options_.grace; }

  private:
    struct Waiter {
        int pid = 0;
        HeldUp held_up;
        std::vector<bool> idle;     ///< by blocker: in a transaction that does nothing
        std::vector<bool> waiting;  ///< by blocker: for somebody else
        std::vector<bool> client;
    };
    std::vector<Waiter> read();
    void end_blockers(Waiter& waiter);
    void end(HeldUp::Blocker& blocker, bool idle);

    const Options options_;
    Control control_;
    std::map<int, std::chrono::steady_clock::time_point> cancelled_;  ///< by process id
};

}  // namespace antipode::postgres
