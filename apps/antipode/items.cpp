#include "apps/antipode/items.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/progress.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"
#include "apps/antipode/wrong_for_good.hpp"
#include "base/words.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

const Config::Site& site_of(const Config& config, const ItemsOptions& options) {
    return require_site(config, options.site.value_or(config.site));
}

v1::SiteRequest request_of(const std::string& action, const StoreId& store,
                           const std::vector<std::string>& items) {
    v1::SiteRequest request;
    request.set_action(action);
    request.set_store(store.to_string());
    for (const std::string& item : items) {
        request.add_items(item);
    }
    return request;
}

const StoreRow& row_of(const StatusReport& report, const StoreId& store) {
    for (const StoreRow& row : report.stores) {
        if (row.store == store.to_string() && row.content_check) {
            return row;
        }
    }
    throw CommandError(ExitCode::Failed,
                       report.site + " says nothing of checks of " + store.to_string(),
                       "compare the versions of Antipode (antipode version)");
}

StatusReport status_of_secondary(const Fetch& fetch, const std::string& daemon) {
    StatusReport report = get_status(fetch, daemon);
    if (report.role != "secondary") {
        throw CommandError(ExitCode::Usage,
                           harmless(report.site) + " is \"" + harmless(report.role) +
                               "\": content is checked on secondaries",
                           "antipode verify --site SECONDARY");
    }
    return report;
}

std::string problem_of_check(const StatusReport& report, const StoreId& store) {
    for (const WorkerRow& worker : report.workers) {
        if (worker.name == "content check " + store.to_string() && !worker.healthy) {
            return worker.problem;
        }
    }
    return {};
}

struct Checked {
    StoreId store;
    uint64_t items = 0;
    uint64_t differed = 0;
    uint64_t failing = 0;  ///< now
    uint64_t extras = 0;
    std::string first_extra{};

    ExitCode code() const {
        return differed + failing + extras > 0 ? ExitCode::Findings : ExitCode::Ok;
    }
    std::string verdict() const {
        return failing + extras > 0 ? "differs" : differed > 0 ? "mended" : "equal";
    }
    std::string words() const {
        if (differed == 0 && failing == 0) {
            return "all are as they were applied";
        }
        std::string text = differed == 0 ? "" : counted(differed, "was", "were") + " not";
        if (failing == 0) {
            return text + ": brought again, and right now";
        }
        text += text.empty() ? "" : "; ";
        return text + counted(failing, "is", "are") + " not right yet: antipode failures";
    }
};

/// One store's check, once it was asked for.
class Watch {
  public:
    Watch(const Fetch& fetch, std::string daemon, const Output& output, const ItemsOptions& options)
        : fetch_(fetch), daemon_(std::move(daemon)), output_(output), options_(options) {}

    void wait(Checked& checked, uint64_t differed_before) {
        auto busy_at = SteadyClock::now();
        WrongForGood wrong;
        Progress progress(output_);
        while (true) {
            const StatusReport report = status_of_secondary(fetch_, daemon_);
            const StoreRow& row = row_of(report, checked.store);
            checked.differed =
                std::max(row.content_check->differed, differed_before) - differed_before;
            checked.failing = row.content_check->failing;
            const ContentCheckRow& check = *row.content_check;
            const bool all = options_.items.empty();
            checked.extras = all ? check.extras : 0;
            checked.first_extra = all ? check.first_extra : "";
            const bool is_wrong_for_good =
                wrong.judge(check.failing_since, applied_through(report, row), report.now);
            const uint64_t left = check.asked + (all && check.names_asked ? 1 : 0);
            if (left > 0) {
                busy_at = SteadyClock::now();  // what was brought again is looked at, too
            } else if (checked.failing == 0 ||
                       (SteadyClock::now() - busy_at > WrongForGood::mended_within &&
                        is_wrong_for_good)) {
                return;
            }
            tell(progress, checked, left, problem_of_check(report, checked.store));
            if (options_.timeout_seconds &&
                std::chrono::duration<double>(SteadyClock::now() - began_).count() >
                    *options_.timeout_seconds) {
                throw CommandError(ExitCode::TimedOut,
                                   "the check is not done yet and goes on: " + last_,
                                   "antipode status");
            }
            options_.pause();
        }
    }

  private:
    static std::optional<TimePoint> applied_through(const StatusReport& report,
                                                    const StoreRow& row) {
        if (!row.total_lag_seconds) {
            return std::nullopt;
        }
        const std::chrono::duration<double> behind(*row.total_lag_seconds);
        return report.now - std::chrono::duration_cast<TimePoint::duration>(behind);
    }

    void tell(Progress& progress, const Checked& checked, uint64_t left,
              const std::string& problem) {
        last_ = checked.store.to_string() + ": " +
                (left > 0 ? counted(left, "item", "items") + " left"
                          : counted(checked.failing, "item is", "items are") + " brought again");
        last_ += problem.empty() ? "" : "; " + harmless(problem);
        const uint64_t all = std::max(checked.items, left);
        progress.tell(last_, Progress::Share{all - left, all});
    }

    const Fetch& fetch_;
    const std::string daemon_;
    const Output& output_;
    const ItemsOptions& options_;
    const SteadyClock::time_point began_ = SteadyClock::now();
    std::string last_;
};

ExitCode print(const Output& output, const std::string& site, const std::vector<Checked>& checked,
               bool done) {
    ExitCode code = ExitCode::Ok;
    Json rows = Json::array();
    for (const Checked& one : checked) {
        code = one.code() == ExitCode::Ok ? code : one.code();
        rows.push_back({{"store", one.store.to_string()},
                        {"items", one.items},
                        {"differed", one.differed},
                        {"failing", one.failing},
                        {"extras", one.extras},
                        {"first_extra", one.first_extra},
                        {"verdict", done ? one.verdict() : "unknown"}});
    }
    if (output.json()) {
        output.out << Json{{"schema", "antipode.verify/1"},
                           {"site", site},
                           {"state", done ? "done" : "waiting"},
                           {"stores", rows}}
                          .dump()
                   << "\n";
        return code;
    }
    for (const Checked& one : checked) {
        output.out << one.store.to_string() << ": ";
        if (!done) {
            output.out << counted(one.items, "item is", "items are")
                       << " read again; antipode status\n";
            continue;
        }
        output.out << counted(one.items, "item", "items") << " read again; " << one.words() << "\n";
        if (one.extras > 0) {
            output.out << one.store.to_string() << ": "
                       << counted(one.extras, "item is here that was never applied, ",
                                  "items are here that were never applied, ")
                       << harmless(one.first_extra) << " first\nTry: antipode resync --store "
                       << one.store.to_string()
                       << " NAME, which removes what the primary does not have\n";
        }
    }
    return code;
}

ExitCode verify_database(const Config& config, const Fetch& fetch, const Output& output,
                         const ItemsOptions& options, const StoreId& store) {
    if (options.site && *options.site != config.site) {
        throw CommandError(ExitCode::Usage, "a database is compared from its own site",
                           "antipode verify " + store.to_string() + ", on a machine of " +
                               harmless(*options.site));
    }
    CompareOptions compare;
    compare.store = store.name;
    compare.tables = options.items;
    compare.wait = options.wait;
    compare.timeout_seconds = options.timeout_seconds;
    compare.pause = options.pause;
    return compare_database(config, fetch, output, compare);
}

}  // namespace

ExitCode verify_items(const Config& config, const OpenBucket& open, const Fetch& fetch,
                      const Clock& clock, const Output& output, const ItemsOptions& options) {
    const Config::Site& site = site_of(config, options);
    const std::vector<StoreId> stores = find_stores(config, options.store);
    if (options.store && stores.front().kind == StoreKind::Database) {
        return verify_database(config, fetch, output, options, stores.front());
    }
    const std::string daemon = daemon_of(config, site);
    const StatusReport before = status_of_secondary(fetch, daemon);
    SiteRequester requests(site, open, clock, options.pause);
    std::vector<Checked> checked;
    for (const StoreId& store : stores) {
        if (store.kind != StoreKind::Database) {
            const uint64_t items = requests.ask(request_of("look", store, options.items));
            if (items < options.items.size()) {
                throw CommandError(ExitCode::Unknown,
                                   site.name + " knows " + std::to_string(items) + " of " +
                                       counted(options.items.size(), "item", "items") + " in " +
                                       store.to_string(),
                                   "name them as below the root: dir/file, group/name.git");
            }
            checked.push_back({store, items});
        } else if (!output.json()) {
            output.error << store.to_string()
                         << " is compared with the primary by: antipode verify "
                         << store.to_string() << "\n";
        }
    }
    if (options.wait) {
        Watch watch(fetch, daemon, output, options);
        for (Checked& one : checked) {
            watch.wait(one, row_of(before, one.store).content_check->differed);
        }
    }
    return print(output, site.name, checked, options.wait);
}

ExitCode resync_items(const Config& config, const OpenBucket& open, const Clock& clock,
                      const Output& output, const ItemsOptions& options) {
    const int ways =
        (options.items.empty() ? 0 : 1) + (options.failed ? 1 : 0) + (options.all ? 1 : 0);
    if (ways != 1) {
        throw CommandError(ExitCode::Usage, "what is to be sent again?",
                           "antipode resync --store blobs/uploads ITEM, or --failed, or --all");
    }
    const Config::Site& site = site_of(config, options);
    std::vector<StoreId> stores = find_stores(config, options.store);
    std::erase_if(stores, [](const StoreId& store) { return store.kind == StoreKind::Database; });
    if (stores.empty()) {
        throw CommandError(ExitCode::Usage, "a database is mended by comparing it",
                           "antipode database check --mend");
    }
    if (stores.size() > 1 && !options.failed) {
        throw CommandError(ExitCode::Usage, "of which store? There are several",
                           "antipode resync --store " + stores.front().to_string() + " ...");
    }
    SiteRequester requests(site, open, clock, options.pause);
    Json rows = Json::array();
    for (const StoreId& store : stores) {
        const std::string action = options.all      ? "fetch-all"
                                   : options.failed ? "fetch-failed"
                                                    : "fetch";
        const uint64_t items = requests.ask(request_of(action, store, options.items));
        rows.push_back({{"store", store.to_string()}, {"items", items}});
        if (!output.json()) {
            output.out << store.to_string() << ": " << counted(items, "item is", "items are")
                       << " asked for again; antipode failures\n";
        }
    }
    if (output.json()) {
        output.out
            << Json{{"schema", "antipode.resync/1"}, {"site", site.name}, {"stores", rows}}.dump()
            << "\n";
    }
    return ExitCode::Ok;
}

ExitCode show_failures(const Config& config, const Fetch& fetch, const Output& output,
                       const std::optional<std::string>& site) {
    const Config::Site& asked = require_site(config, site.value_or(config.site));
    const StatusReport report = get_status(fetch, daemon_of(config, asked));
    uint64_t total = 0;
    for (const StoreRow& row : report.stores) {
        total += row.parked.value_or(0);
    }
    const ExitCode code = report.exceptions.empty() ? ExitCode::Ok : ExitCode::Findings;
    if (output.json()) {
        const Json status = Json::parse(report.json);
        output.out << Json{{"schema", "antipode.failures/1"},
                           {"site", report.site},
                           {"total", total},
                           {"failures", status.value("exceptions", Json::array())}}
                          .dump()
                   << "\n";
        return code;
    }
    if (report.exceptions.empty()) {
        output.out << harmless(report.site) << ": nothing failed\n";
        return code;
    }
    Table table({{"STORE"},
                 {"ITEM"},
                 {"STATE"},
                 {"CLASS"},
                 {"SINCE"},
                 {"TRIES", Table::Align::Right},
                 {"NEXT TRY"},
                 {"REASON"}});
    for (const ExceptionRow& row : report.exceptions) {
        const bool later = row.next_try && *row.next_try > report.now;
        table.add({harmless(row.store), harmless(row.item), harmless(row.kind),
                   harmless(row.failure_class),
                   row.since ? format_age(report.now - *row.since) : std::string(unknown),
                   format_count(row.tries),
                   later          ? "in " + format_age(*row.next_try - report.now)
                   : row.next_try ? std::string("now")
                                  : std::string("-"),
                   harmless(row.reason)});
    }
    output.out << table.render(output.coloured);
    if (total > report.exceptions.size()) {
        output.out << "and " << total - report.exceptions.size() << " more\n";
    }
    const ExceptionRow& first = report.exceptions.front();
    output.out << "Try: "
               << (report.role == "primary" && !first.next_step.empty()
                       ? harmless(first.next_step)
                       : "antipode resync --failed, once the reason is gone")
               << "\n";
    return code;
}

}  // namespace antipode::cli
