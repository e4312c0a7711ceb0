#include "apps/antipode/wait.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

constexpr const char* command = "antipode wait";
/// A daemon that is restarted is silent for a while.
constexpr std::chrono::seconds silent_for(30);

/// What is waited for.
struct Goal {
    TimePoint time;  ///< of the primary's clock
    StoreId store;
    std::optional<Lsn> lsn;

    /// An LSN that somebody knows was written before; so it is here with all else, also when it is
    /// that of no transaction.
    bool is_reached(const StatusReport& report) const {
        if (report.recovery_point && *report.recovery_point >= time) {
            return true;
        }
        for (const StoreRow& row : report.stores) {
            if (row.store == store.to_string()) {
                return row.lsn && *row.lsn >= *lsn;
            }
        }
        return false;
    }
    std::string still(const StatusReport& report) const {
        for (const SiteRow& row : report.sites) {
            if (row.site == report.site && !row.reason.empty()) {
                return row.reason;
            }
        }
        return report.recovery_point
                   ? "its recovery point is " + format_time(*report.recovery_point, report.now)
                   : "its recovery point is not known: " + report.recovery_point_reason;
    }
};

/// The primary's time, by which recovery points are told; this machine's when it does not answer.
TimePoint primarys_time(const Config& config, const Fetch& fetch, const Clock& clock,
                        const StatusReport& seen) {
    for (const SiteRow& row : seen.sites) {
        const Config::Site* const site = config.find_site(row.site);
        if (row.role != "primary" || site == nullptr) {
            continue;
        }
        try {
            return get_status(fetch, daemon_of(config, *site)).now;
        } catch (const CommandError&) {
            break;
        }
    }
    return clock.now();
}

Goal goal_of(const Config& config, const Fetch& fetch, const Clock& clock,
             const WaitOptions& options, const StatusReport& seen) {
    if (!options.lsn) {
        return {primarys_time(config, fetch, clock, seen), {}, {}};
    }
    const auto lsn = Lsn::parse(*options.lsn);
    if (!lsn) {
        throw CommandError(ExitCode::Usage, "\"" + harmless(*options.lsn) + "\" is no LSN",
                           "psql -c 'SELECT pg_current_wal_insert_lsn()', on the primary");
    }
    return {primarys_time(config, fetch, clock, seen),
            {StoreKind::Database, find_database(config, options.store, command).name},
            lsn};
}

ExitCode print(const Output& output, const std::string& site, double seconds) {
    if (output.json()) {
        output.out
            << Json{{"schema", "antipode.wait/1"}, {"site", site}, {"seconds", seconds}}.dump()
            << "\n";
    } else {
        output.out << site << " has it, after " << format_seconds(seconds) << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace

ExitCode wait_for_site(const Config& config, const Fetch& fetch, const Clock& clock,
                       const Output& output, const WaitOptions& options) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    const std::string daemon = daemon_of(config, site);
    const auto began = SteadyClock::now();
    auto heard = began;
    StatusReport report = get_status(fetch, daemon);
    if (report.role == "primary") {
        throw CommandError(ExitCode::Usage, site.name + " is the primary: it has everything",
                           std::string(command) + " --site SECONDARY");
    }
    const Goal goal = goal_of(config, fetch, clock, options, report);
    std::string told;
    while (!goal.is_reached(report)) {
        const std::string still = harmless(goal.still(report));
        const std::chrono::duration<double> passed = SteadyClock::now() - began;
        if (options.timeout_seconds && passed.count() > *options.timeout_seconds) {
            throw CommandError(ExitCode::TimedOut, site.name + " does not have it yet: " + still,
                               "antipode lag " + site.name);
        }
        if (still != told && !report.stores.empty() && !output.json() && !told.empty()) {
            output.error << site.name << ": " << still << "\n";
        }
        told = still;
        options.pause();
        try {
            report = get_status(fetch, daemon);
            heard = SteadyClock::now();
        } catch (const CommandError& error) {
            if (error.code() != ExitCode::Unreachable || SteadyClock::now() - heard > silent_for) {
                throw;
            }
        }
    }
    return print(output, site.name,
                 std::chrono::duration<double>(SteadyClock::now() - began).count());
}

}  // namespace antipode::cli
