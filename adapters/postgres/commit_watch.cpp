#include "adapters/postgres/commit_watch.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::postgres {
namespace {

using std::chrono::milliseconds;

/// A transaction that has run for long is asked about less often.
constexpr milliseconds shortest_interval(20);
constexpr milliseconds longest_interval(500);
constexpr int share_of_time = 50;
constexpr Connection::Waits waits{.connect = std::chrono::seconds(2), .answer = milliseconds(1000)};

/// Decoding gives the lower half of a transaction's number; the newest such number is meant.
constexpr const char* which_committed =
    "SELECT x FROM unnest($1::bigint[]) x, "
    "(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS newest) s "
    "WHERE pg_xact_status((newest - ((newest - x) & 4294967295))::text::xid8) = 'committed'";

}  // namespace

std::optional<uint32_t> CommitWatch::committed(const std::vector<uint32_t>& xids) {
    if (xids.empty() || refused_) {
        since_.reset();
        return std::nullopt;
    }
    const auto now = SteadyClock::now();
    if (!since_) {
        since_ = due_ = now;
    }
    if (now < due_) {
        return std::nullopt;
    }
    due_ = now + std::clamp<SteadyClock::duration>((now - *since_) / share_of_time,
                                                   shortest_interval, longest_interval);
    try {
        return ask(xids);
    } catch (const Error& error) {
        spdlog::info("{}; large transactions are published once decoding has come to their end",
                     error.describe());
        refused_ = true;
        connection_.reset();
        return std::nullopt;
    }
}

std::optional<uint32_t> CommitWatch::ask(const std::vector<uint32_t>& xids) {
    if (!connection_) {
        connection_.emplace(url_, application_name_, Connection::Mode::Plain, waits);
    }
    std::string list;
    for (const uint32_t xid : xids) {
        list += (list.empty() ? "{" : ",") + std::to_string(xid);
    }
    const Rows found = connection_->query("asking whether a large transaction has committed",
                                          which_committed, {list + "}"});
    if (found.size() != 1) {
        return std::nullopt;
    }
    return static_cast<uint32_t>(found.integer(0, 0));
}

void CommitWatch::forget() {
    connection_.reset();
    refused_ = false;
    since_.reset();
}

}  // namespace antipode::postgres
