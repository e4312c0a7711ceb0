#include "adapters/postgres/lock_watch.hpp"

#include <algorithm>

namespace antipode::postgres {
namespace {

constexpr const char* doing = "looking whom changes wait for";
/// A statement that was cancelled ends within that, else its session is disconnected.
constexpr std::chrono::seconds cancel_takes(5);

constexpr const char* waiting_sql = R"(
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND usename = current_user AND application_name = left($1, 63)
                   AND wait_event_type = 'Lock'))";

constexpr const char* blockers_sql = R"(
    SELECT w.pid, (extract(epoch FROM clock_timestamp() - l.waitstart) * 1000)::bigint,
      coalesce(l.relation::regclass::text, l.locktype), b.pid,
      coalesce(format('%s, %s, %s for %s s: %s', s.usename, coalesce(nullif(s.application_name,
        ''), 'no name'), coalesce(s.state, s.backend_type),
        round(extract(epoch FROM clock_timestamp() - s.state_change)), left(s.query, 80)),
        'a prepared transaction'),
      coalesce(s.state LIKE 'idle in transaction%', false),
      coalesce(s.wait_event_type = 'Lock', false),
      coalesce(s.backend_type = 'client backend', false)
    FROM pg_stat_activity w
    JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted AND l.waitstart IS NOT NULL
    CROSS JOIN LATERAL (SELECT DISTINCT pid FROM unnest(pg_blocking_pids(w.pid)) u(pid)) b
    LEFT JOIN pg_stat_activity s ON s.pid = b.pid
    WHERE w.datname = current_database() AND w.usename = current_user
      AND w.application_name = left($1, 63) AND l.locktype <> 'advisory'
      AND (s.pid IS NULL OR s.usename IS DISTINCT FROM w.usename
           OR s.application_name <> w.application_name)
    ORDER BY 2 DESC, 1, 4)";

}  // namespace

std::string HeldUp::to_string() const {
    std::string text = "apply has waited for " + std::to_string(waited.count() / 1000) +
                       " s for a lock on " + lock + ", which is held by ";
    for (size_t i = 0; i < blockers.size(); ++i) {
        text += (i == 0 ? "" : "; ") +
                (blockers[i].pid == 0 ? "" : "session " + std::to_string(blockers[i].pid) + " ") +
                "(" + blockers[i].who + ")" +
                (blockers[i].ended.empty() ? "" : ", which was " + blockers[i].ended);
    }
    return text;
}

std::string HeldUp::next_step(std::chrono::milliseconds grace) const {
    std::string pids;
    for (const Blocker& blocker : blockers) {
        if (!blocker.remedy.empty()) {
            return blocker.remedy;
        }
        pids += (pids.empty() ? "" : "), pg_terminate_backend(") + std::to_string(blocker.pid);
    }
    return "it ends by itself after lock_grace (" + std::to_string(grace.count() / 1000) +
           " s); to end it now: SELECT pg_terminate_backend(" + pids + ")";
}

std::vector<LockWatch::Waiter> LockWatch::read() {
    return control_.transaction([&](Connection& connection) {
        std::vector<Waiter> waiters;
        if (!connection.query(doing, waiting_sql, {options_.writer}).boolean(0, 0)) {
            return waiters;
        }
        const Rows rows = connection.query(doing, blockers_sql, {options_.writer});
        for (int row = 0; row < rows.size(); ++row) {
            const int pid = static_cast<int>(rows.integer(row, 0));
            if (waiters.empty() || waiters.back().pid != pid) {
                waiters.emplace_back().pid = pid;
            }
            Waiter& waiter = waiters.back();
            waiter.held_up.waited = std::chrono::milliseconds(rows.integer(row, 1));
            waiter.held_up.lock = rows.string(row, 2);
            waiter.held_up.blockers.push_back({static_cast<int>(rows.integer(row, 3)),
                                               one_line(rows.string(row, 4).c_str()), "", ""});
            waiter.idle.push_back(rows.boolean(row, 5));
            waiter.waiting.push_back(rows.boolean(row, 6));
            waiter.client.push_back(rows.boolean(row, 7));
        }
        return waiters;
    });
}

std::optional<HeldUp> LockWatch::look() {
    std::vector<Waiter> waiters = read();
    if (waiters.empty()) {
        cancelled_.clear();
        return std::nullopt;
    }
    for (Waiter& waiter : waiters) {
        if (waiter.held_up.waited >= options_.grace) {
            end_blockers(waiter);
        }
    }
    return std::move(waiters.front().held_up);
}

void LockWatch::end_blockers(Waiter& waiter) {
    // Those who wait in the queue before us go on by themselves once the others are gone.
    const bool all_wait =
        std::all_of(waiter.waiting.begin(), waiter.waiting.end(), [](bool waits) { return waits; });
    for (size_t i = 0; i < waiter.held_up.blockers.size(); ++i) {
        HeldUp::Blocker& blocker = waiter.held_up.blockers[i];
        if (waiter.waiting[i] && !all_wait) {
            continue;
        }
        if (blocker.pid == 0) {
            blocker.remedy =
                "SELECT * FROM pg_prepared_xacts; COMMIT PREPARED or ROLLBACK PREPARED what holds "
                "the lock";
        } else if (!waiter.client[i]) {
            blocker.remedy = "wait for the server's own process " + std::to_string(blocker.pid) +
                             " (SELECT * FROM pg_stat_activity)";
        } else {
            end(blocker, waiter.idle[i]);
        }
    }
}

void LockWatch::end(HeldUp::Blocker& blocker, bool idle) {
    const auto now = std::chrono::steady_clock::now();
    const auto cancelled = cancelled_.find(blocker.pid);
    const bool disconnect =
        idle || (cancelled != cancelled_.end() && now - cancelled->second > cancel_takes);
    if (!disconnect && cancelled != cancelled_.end()) {
        blocker.ended = "cancelled";
        return;
    }
    try {
        control_.transaction([&](Connection& connection) {
            connection.query(
                "ending a session that is in the way",
                disconnect ? "SELECT pg_terminate_backend($1)" : "SELECT pg_cancel_backend($1)",
                {std::to_string(blocker.pid)});
            return true;
        });
        blocker.ended = disconnect ? "disconnected" : "cancelled";
        if (!disconnect) {
            cancelled_[blocker.pid] = now;
        }
    } catch (const SqlError& error) {
        if (error.reaction() == Reaction::Retry) {
            throw;
        }
        blocker.remedy = std::string(error.what()) + ": as a superuser, SELECT " +
                         "pg_terminate_backend(" + std::to_string(blocker.pid) + ")";
    }
}

void LockWatch::let_go() {
    control_.transaction([&](Connection& connection) {
        connection.query(doing,
                         "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = "
                         "current_database() AND usename = current_user AND application_name = "
                         "left($1, 63) AND wait_event_type = 'Lock'",
                         {options_.writer});
        return true;
    });
}

}  // namespace antipode::postgres
