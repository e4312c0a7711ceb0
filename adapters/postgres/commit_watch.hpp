#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapters/postgres/connection.hpp"
#include "base/ids.hpp"

namespace antipode::postgres {

/// Learns that a transaction has committed before decoding comes to that place, by a connection of
/// its own. A server that does not answer is left alone for half a minute. One thread; blocks for a
/// few seconds at most. Source: pg_xact_status(), which says "committed" once others can see it;
/// where a commit waits for synchronous standbys, behind that.
class CommitWatch {
  public:
    CommitWatch(std::string url, std::string application_name)
        : url_(std::move(url)), application_name_(std::move(application_name)) {}

    struct Found {
        uint32_t xid = 0;
        Lsn log_end;  ///< where the log ends by now
    };
    /// The one of these transactions, all seen in the log already, that has committed. nullopt:
    /// none has, or more than one, or it is too early to ask again.
    std::optional<Found> committed(const std::vector<uint32_t>& xids);

    /// Of all transactions, and of the connection.
    void forget();

  private:
    using SteadyClock = std::chrono::steady_clock;
    std::optional<Found> ask(const std::vector<uint32_t>& xids);

    const std::string url_;
    const std::string application_name_;
    std::optional<Connection> connection_;
    std::optional<SteadyClock::time_point> since_;  ///< there is something to ask about
    SteadyClock::time_point due_;
};

}  // namespace antipode::postgres
