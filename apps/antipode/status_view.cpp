#include "apps/antipode/status_view.hpp"

#include <algorithm>

#include "apps/antipode/format.hpp"
#include "base/words.hpp"

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

/// When the oldest of a site's checks was made: it speaks for all of its stores.
std::string oldest_check(const SiteRow& site, TimePoint now) {
    std::optional<TimePoint> oldest;
    for (const CheckRow& check : site.checks) {
        if (!check.checked) {
            return "not all yet";
        }
        oldest = oldest ? std::min(*oldest, *check.checked) : *check.checked;
    }
    return oldest ? age_of(oldest, now) : std::string(unknown);
}

void add_site(Table& table, const SiteRow& site, const StatusReport& report, bool wide) {
    const bool primary = site.role == "primary";
    const std::string absent(primary ? not_applicable : unknown);
    const bool stale = !site.report_at || report.now - *site.report_at > stale_after;
    const Colour colour = colour_of(site.state);
    std::vector<Table::Cell> row = {
        site.site + (site.site == report.site ? "*" : ""),
        or_unknown(site.role),
        {or_unknown(site.state), stale && colour == Colour::Green ? Colour::Yellow : colour},
        site.recovery_point ? moment(*site.recovery_point, report.now) : absent,
        site.lag_seconds ? format_seconds(site.lag_seconds) : absent,
        site.verified ? format_share(*site.verified, *site.verified + site.parked.value_or(0))
                      : absent,
        site.parked ? format_count(site.parked) : absent,
        {site.report_at ? age_of(site.report_at, report.now) + (stale ? " STALE" : "") : "never",
         stale ? Colour::Red : Colour::Plain},
    };
    if (wide) {
        row.emplace_back(site.recovery_point ? to_iso8601(*site.recovery_point) : absent);
        row.emplace_back(site.report_at ? to_iso8601(*site.report_at) : "never");
        row.emplace_back(site.retention_seconds ? format_seconds(site.retention_seconds)
                                                : std::string(unknown));
        row.emplace_back(primary ? absent : oldest_check(site, report.now));
    }
    table.add(std::move(row));
}

/// The kind in words: what is wrong with the item, and what the recovery point waits for.
std::string sentence(const ExceptionRow& exception) {
    const std::string item = exception.store + " " + exception.item;
    if (exception.kind == "mended") {
        return item +
               " is right again; it holds the recovery point back until the rows that were "
               "published before it are applied, by itself" +
               (exception.reason.empty() ? "" : ". It was an exception: " + exception.reason);
    }
    if (exception.kind == "expired") {
        return "rows went on without " + item + ", which did not come within max_hold" +
               (exception.reason.empty() ? "" : ": " + exception.reason);
    }
    return item + " is " + or_unknown(exception.kind) +
           (exception.reason.empty() ? "" : ": " + exception.reason);
}

std::string describe(const ExceptionRow& exception, TimePoint now) {
    if (exception.kind == "mended") {
        return sentence(exception);  // it is not tried any more
    }
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
    return sentence(exception) + (details.empty() ? "" : " (" + details + ")");
}

std::string describe(const CopyRow& copy) {
    return std::to_string(copy.tables_done) + " of " + std::to_string(copy.tables) +
           " tables copied, " + std::to_string(copy.rows) + " rows, " + format_bytes(copy.bytes) +
           (copy.bytes_per_second
                ? " at " + format_bytes(static_cast<uint64_t>(*copy.bytes_per_second)) + "/s"
                : "") +
           (copy.remaining_seconds ? ", about " + format_seconds(copy.remaining_seconds) + " left"
                                   : "") +
           (copy.table.empty() ? "" : ", now " + copy.table);
}

/// One thing that is wrong, with everything that it concerns.
struct Problem {
    std::string text;
    std::string next_step;
    std::vector<std::string> stores;
    std::vector<std::string> workers;
    std::optional<TimePoint> since;

    std::string to_string(TimePoint now) const {
        std::string whom;
        for (const std::string& store : stores) {
            whom += (whom.empty() ? "" : ", ") + store;
        }
        if (whom.empty()) {
            whom = workers.size() == 1 ? "worker " : "workers ";
            for (size_t i = 0; i < workers.size(); ++i) {
                whom += (i == 0 ? "" : ", ") + workers[i];
            }
        }
        return remark(whom + ": " + text + (since ? ", for " + age_of(since, now) : ""), next_step);
    }
};

/// "apply blobs/uploads 2" is the second of several workers that do the same.
std::string without_number(const std::string& worker) {
    const size_t last = worker.find_last_not_of("0123456789");
    return last != std::string::npos && worker[last] == ' ' ? worker.substr(0, last) : worker;
}

/// What is wrong with a store. One that waits for a worker of all stores says "relay: problem".
std::string text_of(const StoreRow& store, const std::vector<WorkerRow>& workers) {
    if (store.copy && (store.reason.empty() || store.state == "copying")) {
        return (store.reason.empty() ? "" : store.reason + ", ") + describe(*store.copy);
    }
    for (const WorkerRow& worker : workers) {
        if (store.reason == worker.name + ": " + worker.problem) {
            return worker.problem;
        }
    }
    return store.reason;
}

/// Each distinct problem of the answering site's stores and workers, once.
std::vector<Problem> problems_of(const StatusReport& report) {
    std::vector<Problem> problems;
    const auto find = [&](const std::string& text) -> Problem& {
        const auto found = std::find_if(problems.begin(), problems.end(),
                                        [&](const Problem& known) { return known.text == text; });
        return found != problems.end() ? *found
                                       : problems.emplace_back(Problem{text, "", {}, {}, {}});
    };
    for (const StoreRow& store : report.stores) {
        if (!store.reason.empty() || store.copy) {
            Problem& problem = find(text_of(store, report.workers));
            problem.stores.push_back(store.store);
            problem.next_step = problem.next_step.empty() ? store.next_step : problem.next_step;
        }
    }
    for (const WorkerRow& worker : report.workers) {
        if (worker.healthy || worker.problem.empty()) {
            continue;
        }
        Problem& problem = find(worker.problem);
        const std::string name = without_number(worker.name);
        if (std::find(problem.workers.begin(), problem.workers.end(), name) ==
            problem.workers.end()) {
            problem.workers.push_back(name);
        }
        problem.next_step = problem.next_step.empty() ? worker.next_step : problem.next_step;
        if (worker.since && (!problem.since || *worker.since < *problem.since)) {
            problem.since = worker.since;
        }
    }
    return problems;
}

/// Whether the line of the answering site repeats what stands in the lines below it.
bool is_repeated(const SiteRow& site, const StatusReport& report) {
    if (site.site != report.site) {
        return false;
    }
    if (site.reason == "recovery point unknown: " + report.recovery_point_reason) {
        return true;
    }
    return std::any_of(report.stores.begin(), report.stores.end(),
                       [&](const StoreRow& store) {
                           return site.reason == store.store + ": " + store.reason;
                       }) ||
           std::any_of(report.workers.begin(), report.workers.end(),
                       [&](const WorkerRow& worker) {
                           return !worker.healthy && site.reason == worker.problem;
                       }) ||
           std::any_of(report.disks.begin(), report.disks.end(),
                       [&](const DiskRow& disk) { return site.reason == disk.problem; });
}

/// Of a database "compared", of files and repositories "read again"; ages, and what was ever found.
std::string describe(const CheckRow& check, TimePoint now) {
    if (!check.differed) {
        return check.store + ": " +
               (check.checked ? "compared " + age_of(check.checked, now) + " ago"
                              : "not compared yet");
    }
    return check.store + ": " +
           (check.checked ? "all read again within " + age_of(check.checked, now)
                          : "not all read again yet") +
           ", inventory " +
           (check.equal ? "equal " + age_of(check.equal, now) + " ago" : "not equal yet") +
           (*check.differed > 0
                ? "; found to differ so far: " + counted(*check.differed, "item", "items") +
                      (check.last_differing.empty() ? "" : ", last " + check.last_differing)
                : "");
}

/// Whether the site's own line, or one of the answering site's, says so already.
bool is_told(const CheckRow& check, const SiteRow& site, const StatusReport& report) {
    const auto says = [&](const std::string& text) {
        return text.find(check.what) != std::string::npos;
    };
    return says(site.reason) ||
           (site.site == report.site &&
            std::any_of(report.stores.begin(), report.stores.end(),
                        [&](const StoreRow& store) { return says(store.reason); }));
}

/// What a site's checks found; `all`: also how old their results are.
std::string render_checks(const SiteRow& site, const StatusReport& report, bool all) {
    std::string text;
    for (const CheckRow& check : site.checks) {
        if (all) {
            text += remark("checks of " + site.site + " " + describe(check, report.now), "");
        }
        if (!check.what.empty() && !is_told(check, site, report)) {
            text += remark(
                site.site + ": " + check.store + ": " + check.what,
                (site.site == report.site ? "" : "on " + site.site + ": ") + check.next_step);
        }
    }
    return text;
}

/// What holds the answering site back: its recovery point, stores, exceptions and workers.
std::string render_problems(const StatusReport& report) {
    std::string text;
    if (report.role == "secondary" && !report.recovery_point) {
        text += remark("recovery point of " + report.site +
                           " is unknown: " + or_unknown(report.recovery_point_reason),
                       "");
    }
    for (const DiskRow& disk : report.disks) {
        text += remark(report.site + ": " + disk.problem, disk.next_step);
    }
    for (const Problem& problem : problems_of(report)) {
        text += problem.to_string(report.now);
    }
    if (report.refused.events > 0) {
        text +=
            remark(report.site + " refused " + counted(report.refused.events, "event", "events") +
                       " of the primary's stream since it started, the last one because: " +
                       report.refused.reason,
                   report.refused.next_step);
    }
    std::string limits;
    for (const std::string& name : report.limits) {
        limits += (limits.empty() ? "" : ", ") + name;
    }
    if (!limits.empty()) {
        text +=
            remark("changed by an operator, and not as configured: " + limits, "antipode limits");
    }
    const size_t shown = std::min(report.exceptions.size(), most_exceptions);
    for (size_t i = 0; i < shown; ++i) {
        text += remark(describe(report.exceptions[i], report.now), report.exceptions[i].next_step);
    }
    if (shown < report.exceptions.size()) {
        text += remark(
            "and " + counted(report.exceptions.size() - shown, "more exception", "more exceptions"),
            "antipode status -o json");
    }
    return text;
}

/// Of the answering site, a primary or one that could become it.
std::string render_lease(const StatusReport& report) {
    const LeaseRow& lease = *report.lease;
    if (lease.holds) {
        const char* const by = lease.at_witness && lease.at_sites
                                   ? "the witness and all other sites"
                               : lease.at_witness ? "the witness alone"
                                                  : "the promises of all other sites alone";
        return "Lease of " + report.site +
               (*lease.holds ? ": for " + format_seconds(lease.remaining_seconds) + ", by " + by
                             : ": none, writes are refused") +
               "\n";
    }
    if (!lease.obstacle.empty()) {
        return remark("promoting " + report.site + " needs --fenced-by: " + lease.obstacle, "");
    }
    return lease.wait_seconds ? "Lease of the primary: runs out in " +
                                    format_seconds(lease.wait_seconds) + " unless it is renewed\n"
                              : "";
}

std::string in_words(const PercentilesRow& row) {
    return format_seconds(row.p50_seconds) + "/" + format_seconds(row.p95_seconds) + "/" +
           format_seconds(row.p99_seconds);
}

std::string in_words(const RetentionRow& row) {
    const std::string rate =
        row.bytes_per_second
            ? " at " + format_bytes(static_cast<uint64_t>(*row.bytes_per_second)) + "/s"
            : "";
    return (row.seconds                   ? "lasts " + format_seconds(row.seconds)
            : row.bytes_per_second == 0.0 ? "lasts as long as nothing comes"
            : row.bytes_per_second        ? "is limited by the disk alone"
                                          : "lasts for a time that is not known yet") +
           rate;
}

/// How long a site may be away, or nothing be applied here.
std::string render_retention(const StatusReport& report) {
    const bool primary = report.role == "primary";
    std::string text;
    if (report.stream) {
        text += std::string("Stream: ") + in_words(*report.stream) +
                (primary ? ", then a site that is away compares files and repositories\n"
                         : " while nothing is applied, then this site receives no more\n");
    }
    for (const StoreRow& store : report.stores) {
        if (store.slot) {
            text += "Slot of " + store.store + ": " + in_words(*store.slot) +
                    ", then a site that is away compares its tables\n";
        }
    }
    return text;
}

/// Of a secondary's store.
std::string catches_up(const StoreRow& store) {
    if (store.catches_up_seconds) {
        return *store.catches_up_seconds < 1 ? "now"
                                             : "in " + format_seconds(store.catches_up_seconds);
    }
    return store.apply_rate ? "not at this rate" : std::string(unknown);
}

}  // namespace

std::string render_status(const StatusReport& report, const std::optional<std::string>& only,
                          bool coloured, bool wide) {
    using Align = Table::Align;
    std::vector<Table::Column> columns = {{"SITE"},
                                          {"ROLE"},
                                          {"STATE"},
                                          {"RECOVERY POINT"},
                                          {"LAG", Align::Right},
                                          {"VERIFIED", Align::Right},
                                          {"FAILED", Align::Right},
                                          {"REPORT AGE"}};
    if (wide) {
        columns.insert(columns.end(), {{"UP TO"}, {"REPORTED AT"}, {"KEEPS FOR"}, {"CHECKED"}});
    }
    Table table(std::move(columns));
    std::string remarks;
    for (const SiteRow& site : report.sites) {
        if (!only || site.site == *only) {
            add_site(table, site, report, wide);
            if (!site.reason.empty() && !is_repeated(site, report)) {
                remarks += remark(site.site + ": " + site.reason, site.next_step);
            }
            remarks += render_checks(site, report, only.has_value());
            if (only && site.retention_seconds) {
                remarks += "what " + site.site + " keeps lasts " +
                           format_seconds(site.retention_seconds) + " at the present rate\n";
            }
        }
    }
    std::string text = table.render(coloured) + remarks;
    if (!only || *only == report.site) {
        text += render_problems(report);
        text += report.lease ? render_lease(report) : "";
        if (report.drill && report.role == "secondary") {
            text += "last drill of " + report.site + ", " +
                    age_of(report.drill->began, report.now) +
                    " ago: " + harmless(report.drill->words) + "\n";
        }
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
                 {"P50/P95/P99 1H", Align::Right},
                 {"BACKLOG", Align::Right},
                 {"CATCHES UP", Align::Right},
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
                   store.percentiles ? in_words(*store.percentiles) : absent,
                   backlog,
                   report.role == "primary" ? std::string(not_applicable) : catches_up(store),
                   count(store.applied),
                   count(store.verified),
                   count(store.parked)});
    }
    std::string text = table.render(coloured);
    for (const StoreRow& store : report.stores) {
        if (store.content_check && store.content_check->unproven > 0) {
            text += store.store + ": " +
                    counted(store.content_check->unproven, "repository is", "repositories are") +
                    " here and verified once the objects were read\n";
        }
    }
    if (report.recovery_point) {
        text += "Recovery point " + moment(*report.recovery_point, report.now) + "\n";
    }
    return text + render_retention(report) + render_problems(report);
}

}  // namespace antipode::cli
