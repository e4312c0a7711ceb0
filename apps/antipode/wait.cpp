#include "apps/antipode/wait.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "adapters/http/url.hpp"
#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/progress.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

constexpr const char* command = "antipode wait";
/// A daemon that is restarted is silent for a while.
constexpr std::chrono::seconds silent_for(30);

/// Looks again and again until there is nothing left to wait for, or the time is over.
class Waiting {
  public:
    /// What is still missing; nullopt: nothing. Throws CommandError{Unreachable} while a daemon is
    /// silent.
    using Look = std::function<std::optional<std::string>()>;

    Waiting(const WaitOptions& options, const Output& output, std::string site)
        : options_(options), progress_(output), site_(std::move(site)) {}

    void until(const Look& look) {
        while (const auto still = patiently(look)) {
            if (options_.timeout_seconds && seconds() > *options_.timeout_seconds) {
                throw CommandError(ExitCode::TimedOut,
                                   site_ + " does not have it yet: " + harmless(*still),
                                   "antipode lag " + site_);
            }
            if (*still != told_ && !told_.empty()) {
                progress_.tell(site_ + ": " + *still);
            }
            told_ = *still;
            options_.pause();
        }
    }
    double seconds() const {
        return std::chrono::duration<double>(SteadyClock::now() - began_).count();
    }

  private:
    std::optional<std::string> patiently(const Look& look) {
        try {
            auto still = look();
            heard_ = SteadyClock::now();
            return still;
        } catch (const CommandError& error) {
            if (error.code() != ExitCode::Unreachable || SteadyClock::now() - heard_ > silent_for) {
                throw;
            }
            return told_.empty() ? "its daemon does not answer" : told_;
        }
    }

    const WaitOptions& options_;
    Progress progress_;
    const std::string site_;
    const SteadyClock::time_point began_ = SteadyClock::now();
    SteadyClock::time_point heard_ = began_;
    std::string told_;
};

std::string why_not_yet(const StatusReport& report) {
    for (const SiteRow& row : report.sites) {
        if (row.site == report.site && !row.reason.empty()) {
            return row.reason;
        }
    }
    return report.recovery_point
               ? "its recovery point is " + format_time(*report.recovery_point, report.now)
               : "its recovery point is not known: " + report.recovery_point_reason;
}

bool has_all_of(const StatusReport& report, TimePoint time) {
    return report.recovery_point && *report.recovery_point >= time;
}

/// The primary's daemon; nullopt: the site does not know who that is.
std::optional<std::string> primary_of(const Config& config, const StatusReport& seen) {
    for (const SiteRow& row : seen.sites) {
        const Config::Site* const site = config.find_site(row.site);
        if (row.role == "primary" && site != nullptr) {
            return daemon_of(config, *site);
        }
    }
    return std::nullopt;
}

/// The primary's time, by which recovery points are told; this machine's when it does not answer.
TimePoint primarys_time(const Config& config, const Fetch& fetch, const Clock& clock,
                        const StatusReport& seen) {
    try {
        if (const auto primary = primary_of(config, seen)) {
            return get_status(fetch, *primary).now;
        }
    } catch (const CommandError&) {
        // It is as good as unknown.
    }
    return clock.now();
}

void wait_for_everything(Waiting& waiting, const Fetch& fetch, const std::string& daemon,
                         TimePoint time) {
    waiting.until([&] {
        const StatusReport report = get_status(fetch, daemon);
        return has_all_of(report, time) ? std::nullopt : std::optional(why_not_yet(report));
    });
}

/// An LSN that somebody knows was written before; so it is here with all else, also when it is that
/// of no transaction.
void wait_for_lsn(Waiting& waiting, const Fetch& fetch, const std::string& daemon, TimePoint time,
                  const StoreId& store, Lsn lsn) {
    waiting.until([&]() -> std::optional<std::string> {
        const StatusReport report = get_status(fetch, daemon);
        for (const StoreRow& row : report.stores) {
            if (row.store == store.to_string() && row.lsn && *row.lsn >= lsn) {
                return std::nullopt;
            }
        }
        return has_all_of(report, time) ? std::nullopt : std::optional(why_not_yet(report));
    });
}

/// Where the primary published an item last, or a site applied it; nullopt: it knows of none.
struct ItemPlace {
    std::string state;
    Position position;
};
std::optional<ItemPlace> place_of(const Fetch& fetch, const std::string& daemon,
                                  const StoreId& store, const std::string& item) {
    const Json answer =
        Json::parse(get(fetch, daemon,
                        "/v1/items?store=" + http::percent_encode(store.to_string()) +
                            "&item=" + http::percent_encode(item)),
                    nullptr, false);
    if (!answer.is_object() || !answer.contains("items") || !answer["items"].is_array() ||
        answer["items"].empty()) {
        return std::nullopt;
    }
    const Json& row = answer["items"][0];
    const auto text = [&](const char* key) {
        return row.contains(key) && row[key].is_string() ? row[key].get<std::string>() : "";
    };
    return ItemPlace{text("state"), Position::parse(text("position")).value_or(Position{})};
}

std::optional<TimePoint> captured_through(const StatusReport& primary, const StoreId& store) {
    for (const StoreRow& row : primary.stores) {
        if (row.store == store.to_string()) {
            return row.captured_through;
        }
    }
    return std::nullopt;
}

/// The item as it is on the primary when this is called: published, once what was written until
/// then is captured; then applied. Other items, and other stores, are not waited for.
void wait_for_item(Waiting& waiting, const Fetch& fetch, const std::string& primary,
                   const std::string& daemon, TimePoint time, const std::vector<StoreId>& stores,
                   const std::string& item) {
    std::optional<ItemPlace> published;
    StoreId store;
    waiting.until([&]() -> std::optional<std::string> {
        const StatusReport report = get_status(fetch, primary);
        for (const StoreId& candidate : stores) {
            if (captured_through(report, candidate) < time) {
                return "what was written to " + candidate.to_string() +
                       " on the primary is not captured yet";
            }
        }
        for (const StoreId& candidate : stores) {
            published = place_of(fetch, primary, candidate, item);
            if (published) {
                store = candidate;
                return published->state == "to be published"
                           ? std::optional("the primary has not published it yet: " + item)
                           : std::nullopt;
            }
        }
        return std::nullopt;
    });
    if (!published) {
        const auto lsn = Lsn::parse(item);
        throw CommandError(ExitCode::Unknown,
                           "the primary has nothing of the name " + harmless(item),
                           lsn ? "antipode wait " + lsn->to_string() + ", if it is an LSN"
                               : "antipode items --prefix TEXT, on the primary");
    }
    waiting.until([&]() -> std::optional<std::string> {
        const auto here = place_of(fetch, daemon, store, item);
        if (here && here->position >= published->position && here->state != "parked") {
            return std::nullopt;
        }
        return here && here->state == "parked" ? "it failed there: antipode failures"
                                               : store.to_string() + " " + item + " is on its way";
    });
}

std::vector<StoreId> stores_of_items(const Config& config, const WaitOptions& options) {
    std::vector<StoreId> stores = find_stores(config, options.store);
    std::erase_if(stores, [](const StoreId& id) { return id.kind == StoreKind::Database; });
    if (stores.empty()) {
        throw CommandError(ExitCode::Usage,
                           "\"" + harmless(*options.what) +
                               "\" is no LSN, and the store no store "
                               "of files or repositories",
                           "psql -c 'SELECT pg_current_wal_insert_lsn()', on the primary");
    }
    return stores;
}

struct LsnOfStore {
    StoreId store;
    Lsn lsn;
};

/// Names may look like an LSN. A named store says which it is; else it is one where nothing else
/// can be meant, or when it is written as PostgreSQL writes them: capitals, no zeros before.
/// nullopt: it is a name.
std::optional<LsnOfStore> lsn_of(const Config& config, const WaitOptions& options) {
    const auto lsn = Lsn::parse(*options.what);
    if (!lsn) {
        return std::nullopt;
    }
    const std::vector<StoreId> stores = find_stores(config, options.store);
    const auto databases = std::count_if(stores.begin(), stores.end(), [](const StoreId& id) {
        return id.kind == StoreKind::Database;
    });
    if (databases == 0 || (databases < std::ssize(stores) && lsn->to_string() != *options.what)) {
        return std::nullopt;
    }
    const auto name = options.store ? std::optional(stores.front().name) : std::nullopt;
    return LsnOfStore{{StoreKind::Database, find_database(config, name, command).name}, *lsn};
}

ExitCode print(const Output& output, const std::string& site, const std::string& what,
               double seconds) {
    if (output.json()) {
        output.out
            << Json{{"schema", "antipode.wait/1"}, {"site", site}, {"seconds", seconds}}.dump()
            << "\n";
    } else {
        output.out << site << " has " << what << ", after " << format_seconds(seconds) << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace

ExitCode wait_for_site(const Config& config, const Fetch& fetch, const Clock& clock,
                       const Output& output, const WaitOptions& options) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    const std::string daemon = daemon_of(config, site);
    Waiting waiting(options, output, site.name);
    const StatusReport report = get_status(fetch, daemon);
    if (report.role == "primary") {
        throw CommandError(ExitCode::Usage, site.name + " is the primary: it has everything",
                           std::string(command) + " --site SECONDARY");
    }
    const TimePoint time = primarys_time(config, fetch, clock, report);
    std::string told = "it";
    if (!options.what) {
        wait_for_everything(waiting, fetch, daemon, time);
    } else if (const auto end = lsn_of(config, options)) {
        wait_for_lsn(waiting, fetch, daemon, time, end->store, end->lsn);
        told = "LSN " + end->lsn.to_string();
    } else {
        const auto stores = stores_of_items(config, options);
        const auto primary = primary_of(config, report);
        if (!primary) {
            throw CommandError(ExitCode::Unreachable, site.name + " knows of no primary",
                               "antipode sites list");
        }
        wait_for_item(waiting, fetch, *primary, daemon, time, stores, *options.what);
    }
    return print(output, site.name, told, waiting.seconds());
}

}  // namespace antipode::cli
