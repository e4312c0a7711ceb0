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
/// One that did not answer is not asked for as long.
constexpr std::chrono::seconds pause(30);
constexpr Connection::Waits waits{.connect = std::chrono::seconds(2), .answer = milliseconds(1000)};

/// Decoding gives the lower half of a transaction's number: the nearest one below all that have
/// not ended yet is meant. One above these runs, and asking about it may be an error.
constexpr const char* which_committed =
    "SELECT x, pg_current_wal_flush_lsn() FROM unnest($1::bigint[]) x, "
    "(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS first_above) s, "
    "LATERAL (SELECT (first_above - x) & 4294967295 AS distance) d "
    "WHERE CASE WHEN distance BETWEEN 1 AND least(2147483647, first_above - 3) "
    "THEN pg_xact_status((first_above - distance)::text::xid8) = 'committed' ELSE false END";

}  // namespace

std::optional<CommitWatch::Found> CommitWatch::committed(const std::vector<uint32_t>& xids) {
    if (xids.empty()) {
        since_.reset();
        return std::nullopt;
    }
    const auto now = SteadyClock::now();
    if (!since_) {
        since_ = now;
        due_ = std::max(due_, now);
    }
    if (now < due_) {
        return std::nullopt;
    }
    due_ = now + std::clamp<SteadyClock::duration>((now - *since_) / share_of_time,
                                                   shortest_interval, longest_interval);
    try {
        return ask(xids);
    } catch (const Error& error) {
        // Nothing depends on it but how soon a large transaction is there.
        spdlog::info("{}; asked again in {} s", error.describe(), pause.count());
        due_ = SteadyClock::now() + pause;
        connection_.reset();
        return std::nullopt;
    }
}

std::optional<CommitWatch::Found> CommitWatch::ask(const std::vector<uint32_t>& xids) {
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
    return Found{static_cast<uint32_t>(found.integer(0, 0)), Lsn::parse(found.text(0, 1)).value()};
}

void CommitWatch::forget() {
    connection_.reset();
    since_.reset();
    due_ = {};
}

}  // namespace antipode::postgres
