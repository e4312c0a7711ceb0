// The part of `antipode doctor` that looks at the servers of this and the other sites.
#include <cstdio>
#include <set>

#include "apps/antipode/doctor.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

constexpr microseconds most_skew{std::chrono::seconds(1)};
constexpr microseconds least_shown{std::chrono::milliseconds(100)};

/// nats-server syncs by itself as often as it is told to only from 2.10 on.
bool syncs_by_itself(const std::string& version) {
    int major = 0;
    int minor = 0;
    return std::sscanf(version.c_str(), "%d.%d", &major, &minor) == 2 &&
           (major > 2 || (major == 2 && minor >= 10));
}

Finding check_store_dir(const Config& config, const std::string& version) {
    const fs::path& directory = config.nats.store_dir;
    if (directory.empty()) {
        if (syncs_by_itself(version)) {
            return good("nats", "store_dir", "not set: sync_interval of the server decides");
        }
        return bad("nats", "store_dir",
                   "not set, and nats-server " + version +
                       " syncs every two minutes only: a power "
                       "cut can take messages that count as safe",
                   "set nats.store_dir to the server's store_dir when it runs on this machine");
    }
    std::error_code error;
    const fs::path streams =
        directory.filename() == "jetstream" ? directory : directory / "jetstream";
    const bool there = fs::is_directory(streams, error);
    if (error || !there) {
        return bad("nats", "store_dir",
                   streams.string() + " cannot be read" +
                       (error ? ": " + error.message() : ", or is no directory"),
                   "set nats.store_dir to what \"store_dir\" says in nats-server's own "
                   "configuration, readable by the daemon's user");
    }
    return good("nats", "store_dir", "messages are synced in " + streams.string());
}

Findings check_nats(const Config& config, const Greet& greet) {
    Findings findings;
    for (const Config::Site& site : config.sites) {
        const std::string& url = site.name == config.site ? config.nats.url : site.nats;
        try {
            const NatsGreeting greeting = greet(url);
            if (!greeting.jetstream) {
                findings.push_back(bad("nats", url, "nats-server runs without JetStream",
                                       "start it with --jetstream --store_dir DIRECTORY"));
            } else {
                findings.push_back(
                    good("nats", url, "nats-server " + greeting.version + " with JetStream"));
            }
            if (site.name == config.site) {
                findings.push_back(check_store_dir(config, greeting.version));
            }
        } catch (const Error& error) {
            findings.push_back(
                bad("nats", site.name, error.what(),
                    "start nats-server of " + site.name + " with JetStream, or mend the address"));
        }
    }
    return findings;
}

Finding check_clock(const std::string& site, const StatusReport& report, TimePoint before,
                    TimePoint after) {
    // Its clock was read at some moment between ours before and after.
    const microseconds skew = report.now < before  ? before - report.now
                              : report.now > after ? report.now - after
                                                   : microseconds(0);
    // How long it took to ask, in tenths as it is shown, rounded up.
    const microseconds asked =
        std::chrono::ceil<std::chrono::duration<int64_t, std::deci>>(after - before);
    const std::string text =
        skew == microseconds(0)
            ? "differs by less than " + format_duration(std::max(asked, least_shown))
            : "differs by " + format_duration(skew);
    if (skew > most_skew) {
        return bad("clock", site, text + ": lag is shown wrong by as much",
                   "install chrony on both machines");
    }
    return good("clock", site, text);
}

/// What the daemon of this machine cannot do now, each problem once.
void add_workers(Findings& findings, const std::string& url, const StatusReport& report) {
    std::set<std::string> seen;
    for (const WorkerRow& worker : report.workers) {
        if (!worker.healthy && !worker.problem.empty() && seen.insert(worker.problem).second) {
            findings.push_back(
                bad("daemon", url, worker.name + ": " + worker.problem,
                    worker.next_step.empty() ? "antipode status" : worker.next_step));
        }
    }
}

Findings check_daemons(const Config& config, const Fetch& fetch, const Clock& clock) {
    Findings findings;
    for (const Config::Site& site : config.sites) {
        const std::string url = daemon_of(config, site);
        try {
            const TimePoint before = clock.now();
            const StatusReport report = get_status(fetch, url);
            const TimePoint after = clock.now();
            if (report.cluster != config.cluster || report.site != site.name) {
                findings.push_back(bad("daemon", url,
                                       "belongs to site " + report.site + " of cluster " +
                                           report.cluster + ", not to " + site.name,
                                       "mend [[sites]] in the configuration"));
                continue;
            }
            findings.push_back(good(
                "daemon", url, site.name + ", " + report.role + ", antipoded " + report.version));
            findings.push_back(check_clock(site.name, report, before, after));
            if (site.name == config.site) {
                add_workers(findings, url, report);
            }
        } catch (const CommandError& error) {
            findings.push_back(bad("daemon", site.name, error.what(),
                                   "start antipoded on " + site.name +
                                       ", and let its HTTP port be reached from here"));
        }
    }
    return findings;
}

}  // namespace

std::vector<Check> server_checks(const Fetch& fetch, const Greet& greet, const Clock& clock) {
    return {{"nats", [greet](const Config& config) { return check_nats(config, greet); }},
            {"daemon", [fetch, &clock](const Config& config) {
                 return check_daemons(config, fetch, clock);
             }}};
}

}  // namespace antipode::cli
