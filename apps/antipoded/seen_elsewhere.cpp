#include "apps/antipoded/seen_elsewhere.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode {
namespace {

using failover::JournalEntry;
using failover::State;

/// After a restart others have as long to report.
constexpr std::chrono::nanoseconds least_time = std::chrono::seconds(5);
/// More than a site writes from one change to the next.
constexpr size_t lines_looked_at = 50;

std::string seconds_of(std::chrono::nanoseconds time) {
    const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(time).count() / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

void add(std::string& text, const std::string& more) {
    text += (text.empty() ? "" : "; ") + more;
}

}  // namespace

std::optional<JournalEntry> opened_unseen(const std::vector<JournalEntry>& journal) {
    std::optional<JournalEntry> opened;
    bool opens = false;
    for (const JournalEntry& entry : journal) {
        if (entry.state == State::Serving && opens) {
            opened = entry;
        } else if (entry.state != State::Serving || entry.event == failover::seen_event) {
            opened.reset();
        }
        opens = entry.state == State::Opening;
    }
    return opened;
}

/// A recovery point is the primary's time of a marker behind which everything is applied: clocks of
/// other sites do not matter.
Seen seen_by(const v1::SiteReport& report, const JournalEntry& opened) {
    if (report.role() != "secondary" || report.epoch() != opened.epoch) {
        return Seen::Nothing;
    }
    if (report.recovery_point_us() >= to_microseconds(opened.at)) {
        return Seen::Applied;
    }
    const bool has_some = report.safe_epoch() == opened.epoch && report.safe_number() > 0;
    return has_some ? Seen::Received : Seen::Nothing;
}

void SeenElsewhere::hear(const std::vector<v1::SiteReport>& reports) {
    reports_.with([&](auto& heard) {
        for (const v1::SiteReport& report : reports) {
            heard[report.site()] = report;
        }
    });
}

bool SeenElsewhere::has_time(const JournalEntry& opened) {
    if (epoch_ != opened.epoch) {
        epoch_ = opened.epoch;
        applied_.clear();
        const std::chrono::nanoseconds left = seen_limit - (clock_.now() - opened.at);
        until_ = clock_.steady_now() +
                 std::clamp<std::chrono::nanoseconds>(left, least_time, seen_limit);
    }
    return clock_.steady_now() < until_;
}

/// In words; empty: it is too early to say.
std::string SeenElsewhere::words(const JournalEntry& opened) {
    const bool has_time = this->has_time(opened);
    const std::string limit = std::to_string(seen_limit.count()) + " s";
    const auto reports = reports_.copy();
    std::string text;
    std::string lacking;
    bool has_any = false;
    for (const Config::Site& site : config_.sites) {
        const auto report = reports.find(site.name);
        if (site.name == config_.site) {
            continue;
        }
        const Seen seen = report == reports.end() ? Seen::Nothing : seen_by(report->second, opened);
        has_any = has_any || seen != Seen::Nothing;
        if (seen == Seen::Applied) {
            const auto when = applied_.emplace(site.name, clock_.now()).first->second;
            add(text, site.name + " has applied the new epoch, " + seconds_of(when - opened.at) +
                          " after writes opened");
            continue;
        }
        lacking = lacking.empty() ? site.name : lacking;
        add(text, seen == Seen::Received
                      ? site.name + " has received the new epoch, and not shown within " + limit +
                            " that it has applied it"
                      : site.name + " has not seen it within " + limit);
    }
    if (lacking.empty()) {
        return text;
    }
    const std::string nobody = "no other site has seen the new epoch within " + limit +
                               " of writes opening: what is written is here alone";
    return has_time ? "" : (has_any ? text : nobody) + ". Try: antipode status " + lacking;
}

void SeenElsewhere::look(const failover::ConductorStatus& now) {
    const auto opened = now.state == State::Serving ? opened_unseen(journal_.tail(lines_looked_at))
                                                    : std::optional<JournalEntry>();
    const std::string text = opened ? words(*opened) : std::string();
    if (text.empty()) {
        return;
    }
    try {
        journal_.append({0, clock_.now(), opened->epoch, opened->operation, State::Serving,
                         failover::seen_event, text});
        spdlog::info("{}: {}", opened->operation, text);
    } catch (const Error& error) {  // a full disk ends nothing here; it is tried again
        spdlog::warn("that {} is not journaled: {}", text, error.what());
    }
}

}  // namespace antipode
