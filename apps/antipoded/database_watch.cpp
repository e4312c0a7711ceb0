#include "apps/antipoded/database_watch.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "base/seams/database.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds look_interval(500);
constexpr std::chrono::seconds fence_interval(15);
/// A lock is nothing to tell of before.
constexpr std::chrono::seconds worth_telling(1);

nlohmann::json show(const std::vector<FenceState::Writer>& writers) {
    nlohmann::json rows = nlohmann::json::array();
    for (const FenceState::Writer& writer : writers) {
        rows.push_back({{"role", writer.role}, {"why", writer.why}});
    }
    return rows;
}

}  // namespace

void DatabaseWatch::run_locks(const std::stop_token& stop, Worker::Progress progress) {
    while (!stop.stop_requested()) {
        watch_locks();
        progress.healthy();
        sleep_unless_stopped(look_interval, stop);
    }
    locks_.let_go();
}

void DatabaseWatch::run_fence(const std::stop_token& stop, Worker::Progress progress) {
    while (!stop.stop_requested()) {
        read_skipped();
        keep_closed();
        progress.healthy();
        sleep_unless_stopped(fence_interval, stop);
    }
}

void DatabaseWatch::watch_locks() {
    const auto held_up = locks_.look();
    if (held_up) {
        for (const auto& blocker : held_up->blockers) {
            if (!blocker.ended.empty()) {
                spdlog::warn("{}", held_up->to_string());
                break;
            }
        }
    }
    seen_.with([&](Seen& seen) { seen.held_up = held_up; });
}

void DatabaseWatch::keep_closed() {
    const FenceState before = fence_.look();
    if (before.set_up) {
        if (!before.closed || !before.writers.empty()) {
            spdlog::warn("the database was open for writes{}; it is closed",
                         before.writers.empty() ? ""
                                                : ": role " + before.writers.front().role + " " +
                                                      before.writers.front().why);
        }
        fence_.close_for_writes();
    }
    const FenceState after = before.set_up ? fence_.look() : before;
    seen_.with([&](Seen& seen) { seen.fence = after; });
}

void DatabaseWatch::read_skipped() {
    const auto skipped = skips_.transaction([&](postgres::Connection& connection) {
        return postgres::list_skipped(connection, store_);
    });
    seen_.with([&](Seen& seen) { seen.skipped = skipped; });
}

nlohmann::json DatabaseWatch::show_skipped() const {
    const auto skipped = seen_.copy().skipped;
    nlohmann::json row = {{"transactions", skipped.size()}};
    if (!skipped.empty()) {
        const postgres::Skipped& last = skipped.back();
        row["last"] = {{"lsn", last.lsn.to_string()},
                       {"tables", last.tables},
                       {"asked_by", last.asked_by},
                       {"repair", last.repair}};
    }
    return row;
}

std::optional<DatabaseWatch::Problem> DatabaseWatch::skipped_problem() const {
    const auto skipped = seen_.copy().skipped;
    const auto is_open = [](const postgres::Skipped& one) { return one.repair != "done"; };
    const auto last = std::find_if(skipped.rbegin(), skipped.rend(), is_open);
    if (last == skipped.rend()) {
        return std::nullopt;
    }
    const auto open = std::count_if(skipped.begin(), skipped.end(), is_open);
    return Problem{std::to_string(open) + (open == 1 ? " transaction was" : " transactions were") +
                       " skipped here, the last at " + last->lsn.to_string() + " by " +
                       last->asked_by + "; its tables " +
                       (last->repair == "pending" ? "are to be copied again" : "were not repaired"),
                   "antipode database skipped"};
}

std::optional<DatabaseWatch::Problem> DatabaseWatch::held_up() const {
    const auto held_up = seen_.copy().held_up;
    if (!held_up || held_up->waited < worth_telling) {
        return std::nullopt;
    }
    return Problem{held_up->to_string(), held_up->next_step(locks_.grace())};
}

std::optional<DatabaseWatch::Problem> DatabaseWatch::fence_problem() const {
    const auto fence = seen_.copy().fence;
    if (!fence || !fence->set_up) {
        return std::nullopt;
    }
    if (!fence->writers.empty()) {
        return Problem{"role " + fence->writers.front().role +
                           " is not kept from writing here: it " + fence->writers.front().why,
                       "antipode database setup --url URL, with a superuser's URL"};
    }
    if (!fence->kept_out.empty()) {
        return Problem{"role " + fence->kept_out.front().role +
                           " of \"readers\" is kept out: " + fence->kept_out.front().why,
                       "take that right from it on the primary, or take it out of \"readers\""};
    }
    return std::nullopt;
}

std::optional<std::string> DatabaseWatch::server_version() const {
    const auto fence = seen_.copy().fence;
    return fence ? std::optional(server_version_text(fence->server_version)) : std::nullopt;
}

nlohmann::json DatabaseWatch::show_fence() const {
    const auto fence = seen_.copy().fence;
    if (!fence) {
        return {{"state", "unknown"}};
    }
    const bool enforced = fence->closed && fence->writers.empty();
    return {{"state", enforced        ? "enforced"
                      : fence->set_up ? "open"
                                      : "not set up"},
            {"writers", show(fence->writers)},
            {"kept_out", show(fence->kept_out)},
            {"definer_functions", fence->definers}};
}

}  // namespace antipode
