// The part of `antipode doctor` that looks at the servers of this and the other sites.
#include <cstdio>
#include <map>
#include <set>

#include "apps/antipode/doctor.hpp"
#include "apps/antipode/status.hpp"
#include "base/address.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

constexpr microseconds most_skew{std::chrono::seconds(1)};
constexpr microseconds least_shown{std::chrono::milliseconds(100)};
/// Open files: connections that are served, state databases, workers; and of each store its own
/// connections, and the files in work.
constexpr uint64_t files_of_a_daemon = 256;
constexpr uint64_t files_of_a_store = 32;
constexpr uint64_t most_percent_open = 80;

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

/// Which version each site has of a program.
using Versions = std::map<std::string, std::string>;

/// Nothing where only one site could be asked.
void add_versions(Findings& findings, const std::string& program, const Versions& versions,
                  const std::string& next_step) {
    std::set<std::string> distinct;
    std::string text;
    for (const auto& [site, version] : versions) {
        distinct.insert(version);
        text += (text.empty() ? "" : ", ") + version + " on " + site;
    }
    if (distinct.size() > 1) {
        findings.push_back(bad("version", program, text, next_step));
    } else if (versions.size() > 1) {
        findings.push_back(good("version", program, *distinct.begin() + " on every site"));
    }
}

/// "2.9" of "2.9.10", "15" of "15.4": as many parts.
std::string first_parts(const std::string& version, int parts) {
    size_t end = 0;
    for (int part = 0; part < parts && end != std::string::npos; ++part) {
        end = version.find('.', end + (part == 0 ? 0 : 1));
    }
    return version.substr(0, end);
}

/// What it promises must outlive a power cut; whether it does, the server does not tell.
Finding check_witness(const std::string& url, const NatsGreeting& greeting) {
    const std::string version = "nats-server " + greeting.version;
    if (!greeting.jetstream) {
        return bad("nats", url, "the witness runs without JetStream",
                   "start it with --jetstream --store_dir DIRECTORY");
    }
    return good("nats", url,
                "the witness is " + version +
                    (syncs_by_itself(greeting.version)
                         ? "; it must run with sync_interval: always (not looked at)"
                         : "; its store must be synced: chattr +S on the directory before its "
                           "first start (not looked at)"));
}

void add_witness(const Config& config, const Greet& greet, Findings& findings) {
    try {
        findings.push_back(
            check_witness(without_user(config.witness->nats), greet(config.witness->nats)));
    } catch (const Error& error) {
        findings.push_back(bad("nats", "witness", error.what(),
                               "start the witness' nats-server, or mend witness.nats"));
    }
}

Findings check_nats(const Config& config, const Greet& greet) {
    Findings findings;
    Versions versions;
    for (const Config::Site& site : config.sites) {
        const std::string& url = site.name == config.site ? config.nats.url : site.nats;
        try {
            const NatsGreeting greeting = greet(url);
            versions[site.name] = first_parts(greeting.version, 2);
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
    if (config.witness) {
        add_witness(config, greet, findings);
    }
    add_versions(findings, "nats-server", versions,
                 "install the newer one on every site: after a change of the primary each serves "
                 "the others");
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

/// Unknown of an older daemon.
void add_open_files(Findings& findings, const std::string& site, const StatusReport& report) {
    if (!report.open_files || !report.open_files_limit) {
        return;
    }
    const uint64_t limit = *report.open_files_limit;
    const uint64_t needed = files_of_a_daemon + files_of_a_store * report.stores.size();
    const std::string text = "antipoded has " + std::to_string(*report.open_files) + " of " +
                             std::to_string(limit) + " open, " + std::to_string(needed) +
                             " may be needed";
    if (limit < needed || *report.open_files * 100 > limit * most_percent_open) {
        findings.push_back(bad("files", site, text,
                               "LimitNOFILE=65536 in antipoded's systemd unit of " + site +
                                   " (ulimit -n where there is none), then restart it"));
    } else {
        findings.push_back(good("files", site, text));
    }
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

/// Of the daemons, and of what they say of the servers that they use.
struct DaemonVersions {
    Versions daemons;
    std::map<std::string, Versions> postgres;  ///< by store; major versions

    void note(const std::string& site, const StatusReport& report) {
        daemons[site] = report.version;
        for (const StoreRow& store : report.stores) {
            if (!store.server_version.empty()) {
                postgres[store.store][site] = first_parts(store.server_version, 1);
            }
        }
    }
    void add_to(Findings& findings) const {
        add_versions(findings, "antipoded", daemons,
                     "upgrade it where it is older; meanwhile each understands the version before "
                     "its own");
        for (const auto& [store, versions] : postgres) {
            add_versions(findings, "PostgreSQL of " + store, versions,
                         "upgrade the older server: its structure is not compared until then, and "
                         "new statements may fail on it");
        }
    }
};

Findings check_daemons(const Config& config, const Fetch& fetch, const Clock& clock) {
    Findings findings;
    DaemonVersions versions;
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
            add_open_files(findings, site.name, report);
            versions.note(site.name, report);
            if (site.name == config.site) {
                add_workers(findings, url, report);
            }
        } catch (const CommandError& error) {
            findings.push_back(bad("daemon", site.name, error.what(),
                                   "start antipoded on " + site.name +
                                       ", and let its HTTP port be reached from here"));
        }
    }
    versions.add_to(findings);
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
