#include "apps/antipode/status_view.hpp"

#include <algorithm>

#include "apps/antipode/format.hpp"

namespace antipode::cli {
namespace {

constexpr size_t most_exceptions = 8;

Colour colour_of(const std::string& state) {
    if (state == "serving" || state == "streaming") {
        return Colour::Green;
    }
    if (state == "catching-up" || state == "copying") {
        return Colour::Yellow;
    }
    return Colour::Red;  // degraded, waiting, unknown, and what a later version may say
}

std::string age_of(std::optional<TimePoint> time, TimePoint now) {
    return time ? format_age(now - *time) : std::string(unknown);
}

/// "14:40:05Z (2s ago)"
std::string moment(TimePoint time, TimePoint now) {
    return format_time(time, now) + " (" + format_age(now - time) + " ago)";
}

/// "text    Try: next step"
std::string remark(const std::string& text, const std::string& next_step) {
    return harmless(text) + (next_step.empty() ? "" : "    Try: " + harmless(next_step)) + "\n";
}

std::string or_unknown(const std::string& text) {
    return text.empty() ? std::string(unknown) : text;
}

void add_site(Table& table, const SiteRow& site, const StatusReport& report) {
    const bool primary = site.role == "primary";
    const std::string absent(primary ? not_applicable : unknown);
    const bool stale = !site.report_at || report.now - *site.report_at > stale_after;
    const Colour colour = colour_of(site.state);
    table.add({
        site.site + (site.site == report.site ? "*" : ""),
        or_unknown(site.role),
        {or_unknown(site.state), stale && colour == Colour::Green ? Colour::Yellow : colour},
        site.recovery_point ? moment(*site.recovery_point, report.now) : absent,
        site.lag_seconds ? format_seconds(site.lag_seconds) : absent,
        site.verified ? format_count(site.verified) : absent,
        site.parked ? format_count(site.parked) : absent,
        {age_of(site.report_at, report.now) + (stale ? " STALE" : ""),
         stale ? Colour::Red : Colour::Plain},
    });
}

std::string describe(const ExceptionRow& exception, TimePoint now) {
    std::string details = exception.failure_class;
    const auto add = [&](const std::string& detail) {
        details += (details.empty() ? "" : ", ") + detail;
    };
    if (exception.tries) {
        add(std::to_string(*exception.tries) + (*exception.tries == 1 ? " try" : " tries"));
    }
    if (exception.since) {
        add("for " + format_age(now - *exception.since));
    }
    if (exception.next_try && *exception.next_try > now) {
        add("next in " + format_age(*exception.next_try - now));
    }
    return exception.store + " " + exception.item + " is " + or_unknown(exception.kind) +
           (exception.reason.empty() ? "" : ": " + exception.reason) +
           (details.empty() ? "" : " (" + details + ")");
}

std::string describe(const CopyRow& copy) {
    return std::to_string(copy.tables_done) + " of " + std::to_string(copy.tables) +
           " tables copied, " + std::to_string(copy.rows) + " rows, " + format_bytes(copy.bytes) +
           (copy.table.empty() ? "" : ", now " + copy.table);
}

/// What holds the answering site back: its recovery point, stores, exceptions and workers.
std::string render_problems(const StatusReport& report) {
    std::string text;
    if (report.role == "secondary" && !report.recovery_point) {
        text += remark("recovery point of " + report.site +
                           " is unknown: " + or_unknown(report.recovery_point_reason),
                       "");
    }
    for (const StoreRow& store : report.stores) {
        if (!store.reason.empty() || store.copy) {
            text += remark(
                store.store + ": " + (store.reason.empty() ? describe(*store.copy) : store.reason),
                store.next_step);
        }
    }
    const size_t shown = std::min(report.exceptions.size(), most_exceptions);
    for (size_t i = 0; i < shown; ++i) {
        text += remark(describe(report.exceptions[i], report.now), "");
    }
    if (shown < report.exceptions.size()) {
        text += remark("and " + std::to_string(report.exceptions.size() - shown) +
                           " more items are parked, held or expired",
                       "antipode status -o json");
    }
    for (const WorkerRow& worker : report.workers) {
        if (!worker.healthy && !worker.problem.empty()) {
            text += remark("worker " + worker.name + ": " + worker.problem +
                               (worker.since ? ", for " + age_of(worker.since, report.now) : ""),
                           worker.next_step);
        }
    }
    return text;
}

}  // namespace

std::string render_status(const StatusReport& report, const std::optional<std::string>& only,
                          bool coloured) {
    using Align = Table::Align;
    Table table({{"SITE"},
                 {"ROLE"},
                 {"STATE"},
                 {"RECOVERY POINT"},
                 {"LAG", Align::Right},
                 {"VERIFIED", Align::Right},
                 {"FAILED", Align::Right},
                 {"REPORT AGE"}});
    std::string remarks;
    for (const SiteRow& site : report.sites) {
        if (!only || site.site == *only) {
            add_site(table, site, report);
            if (!site.reason.empty()) {
                remarks += remark(site.site + ": " + site.reason, site.next_step);
            }
        }
    }
    std::string text = table.render(coloured) + remarks;
    if (!only || *only == report.site) {
        text += render_problems(report);
    }
    return text;
}

std::string render_lag(const StatusReport& report, bool coloured) {
    using Align = Table::Align;
    Table table({{"STORE"},
                 {"STATE"},
                 {"CAPTURE", Align::Right},
                 {"DELIVERY", Align::Right},
                 {"APPLY", Align::Right},
                 {"TOTAL", Align::Right},
                 {"BACKLOG", Align::Right},
                 {"APPLIED", Align::Right},
                 {"VERIFIED", Align::Right},
                 {"FAILED", Align::Right}});
    const std::string absent(report.role == "primary" ? not_applicable : unknown);
    for (const StoreRow& store : report.stores) {
        const auto lag = [&](std::optional<double> seconds) {
            return seconds ? format_seconds(seconds) : absent;
        };
        const auto count = [&](std::optional<uint64_t> number) {
            return number ? format_count(number) : absent;
        };
        std::string backlog = count(store.backlog_events);
        if (store.backlog_events) {
            backlog += " ev, " + (store.backlog_bytes ? format_bytes(*store.backlog_bytes)
                                                      : std::string(unknown));
        }
        table.add({store.store,
                   {or_unknown(store.state), colour_of(store.state)},
                   store.capture_lag_seconds ? format_seconds(store.capture_lag_seconds)
                                             : std::string(unknown),
                   lag(store.delivery_lag_seconds),
                   lag(store.apply_lag_seconds),
                   lag(store.total_lag_seconds),
                   backlog,
                   count(store.applied),
                   count(store.verified),
                   count(store.parked)});
    }
    std::string text = table.render(coloured);
    if (report.recovery_point) {
        text += "Recovery point " + moment(*report.recovery_point, report.now) + "\n";
    }
    return text + render_problems(report);
}

}  // namespace antipode::cli
