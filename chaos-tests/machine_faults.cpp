// What a machine does to what runs on it: power, disks that are full or fail, clocks.
#include <csignal>
#include <stdexcept>
#include <utility>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/tracing.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

void cut_power(Stage& stage) {
    Site& site = stage.any();
    stage.hold(stage.some(10));
    cut_power_of(stage, site);
}

/// What the mirror called safe is not sent again by anybody.
void cut_power_and_lose_broker(Stage& stage) {
    Site& primary = stage.primary();
    Site& mirror = stage.mirror();
    stage.hold(stage.some(10));
    stage.sites.reset(mirror);
    cut_power_of(stage, mirror);
    primary.nats.kill();
    std::filesystem::remove_all(primary.nats.store_directory());
    primary.nats.start();
    stage.sites.heal();
}

/// The daemon starts under strace, and works, until it is hit.
void start_under(Stage& stage, Site& site, const std::string& calls, const std::string& what) {
    const Injection injection{calls, what, site.directory / "calls"};
    begin_record(injection);
    site.kill();
    site.launch(under_strace(injection));
    if (!hits(injection)) {
        stage.miss("no " + calls + " of the daemon of " + site.name + " was hit");
    }
}

/// The daemon goes on without strace, which counts the calls of each thread apart: new ones would
/// fail for ever.
void end_tracing(Site& site) {
    const pid_t tracer = tracer_of(site.daemon().pid());
    if (tracer == 0 && test::eventually([&] { return !site.daemon().running(); }, 5s)) {
        site.kill();  // it had just died of what failed
        site.start();
        return;
    }
    if (tracer == 0) {
        throw std::runtime_error("strace does not run beside the daemon of " + site.name);
    }
    kill(tracer, SIGKILL);
}

/// A disk that fails for a while; the daemon goes on, or its service manager starts it again.
void fail_io(Stage& stage) {
    constexpr const char* calls[] = {"fdatasync", "fsync",   "syncfs",
                                     "pwrite64",  "pread64", "rename,renameat,renameat2"};
    Site& site = stage.any();
    const std::string call = calls[stage.chance.below(std::size(calls))];
    const auto first = 1 + stage.chance.below(8);
    const auto last = first + stage.chance.below(20);
    start_under(stage, site, call,
                "error=EIO:when=" + std::to_string(first) + ".." + std::to_string(last));
    stage.hold(stage.some(12));
    if (!site.daemon().running() || stage.chance.one_in(2)) {
        site.kill();
        site.start();
    } else {
        end_tracing(site);
    }
}

/// Each sync takes up to half a second.
void slow_down_disk(Stage& stage) {
    Site& site = stage.any();
    start_under(stage, site, "fsync,fdatasync,syncfs",
                "delay_enter=" + std::to_string(50'000 * stage.some(10)));
    stage.hold(stage.some(20));
    end_tracing(site);
}

/// Nothing that was called safe meanwhile may be gone.
void fail_sync_and_cut_power(Stage& stage) {
    // What each thread calls so often within seconds.
    constexpr std::pair<const char*, size_t> calls[] = {
        {"fdatasync", 8}, {"fsync", 3}, {"syncfs", 1}};
    Site& site = stage.any();
    const auto& [call, often] = calls[stage.chance.below(std::size(calls))];
    start_under(stage, site, call,
                "error=EIO:when=" + std::to_string(1 + stage.chance.below(often)) + "+");
    stage.hold(stage.some(12));
    cut_power_of(stage, site);
}

/// The disk of one part of a site takes nothing more, then there is room again.
void fill(Stage& stage, const std::string& part) {
    Site& site = stage.any();
    Disk& disk = stage.sites.disk(site, part);
    if (stage.sites.ground().disks == Disk::Kind::Memory && stage.chance.one_in(3)) {
        disk.fill_inodes();
    } else {
        disk.fill();
    }
    stage.hold(stage.some(10));
    disk.make_room();
    // Servers that ended, or stand still for good: a service manager, or an operator, starts them.
    if (part == "pg") {
        site.postgres.start();
    }
    if (part == "nats") {
        site.nats.kill();
        site.nats.start();
    }
}

void fill_files(Stage& stage) {
    fill(stage, "files");
}
void fill_repositories(Stage& stage) {
    fill(stage, "git");
}
void fill_state(Stage& stage) {
    fill(stage, "state");
}
void fill_database(Stage& stage) {
    fill(stage, "pg");
}
void fill_broker(Stage& stage) {
    fill(stage, "nats");
}

/// No later than its primary's clock. (Where that was set back, it comes back with the next
/// marker.)
bool point_is_possible(Stage& stage) {
    const Site& primary = stage.primary();
    const Site& mirror = stage.mirror();
    const auto point = mirror.status(".recovery_point_us");
    return point && std::stoll(*point) <= stage.sites.clock_us(primary.name);
}

void set_clock(Stage& stage, const Site& site, std::chrono::seconds ahead) {
    stage.sites.clocks_change = true;
    stage.without_readers([&] { stage.sites.set_clock(site, ahead); });
    const bool possible = test::eventually([&] { return point_is_possible(stage); }, 30s);
    stage.expect(possible, Invariant::RecoveryPoint,
                 "30 s after the clock of " + site.name + " was set to " +
                     std::to_string(ahead.count()) +
                     " s, the recovery point is later than the primary's clock");
    stage.sites.clocks_change = false;
}

/// Hours forwards or backwards, and after a while to what is right.
void jump(Stage& stage) {
    const Site& site = stage.any();
    const auto hours = std::chrono::hours(1 + stage.chance.below(6));
    const std::chrono::seconds ahead = stage.chance.one_in(2) ? hours : -hours;
    stage.hold(stage.some(6));
    set_clock(stage, site, ahead);
    stage.recover();
    stage.hold(stage.some(10));
    set_clock(stage, site, 0s);
}

}  // namespace

void cut_power_of(Stage& stage, Site& site) {
    const bool serves = &site == stage.sites.primary();
    stage.without_readers([&] {
        if (serves) {
            stage.workload.stop();
        }
        stage.sites.cut_power(site);
        if (!serves) {
            stage.hold(stage.some(6));
        }
        stage.sites.boot(site);
        if (serves) {
            stage.workload.start();
        }
    });
}

std::vector<Fault> machine_faults() {
    return {
        {"power-cut", "either site loses its power, and what is not synced", Need::Power,
         cut_power},
        {"power-cut-broker", "the mirror does, and the primary's broker loses everything",
         Need::Power, cut_power_and_lose_broker},
        {"failed-sync", "syncs of antipoded of either site fail (EIO), then the power does",
         Need::FailingSync, fail_sync_and_cut_power},
        {"io-errors", "reads, writes, syncs or renames of antipoded fail (EIO) for a while",
         Need::Trace, fail_io},
        {"slow-disk", "syncs of antipoded of either site take long for a while", Need::Trace,
         slow_down_disk},
        {"disk-full", "the disk of either site's files is full for a while (bytes, inodes)",
         Need::Mounts, fill_files},
        {"disk-full-git", "the same of its repositories", Need::Mounts, fill_repositories},
        {"disk-full-state", "the same of what its daemon remembers", Need::Mounts, fill_state},
        {"disk-full-database", "the same of PostgreSQL, which is started again", Need::Mounts,
         fill_database},
        {"disk-full-broker", "the same of nats-server, which is killed and started again",
         Need::Mounts, fill_broker},
        {"clock-jump", "either site's clock is hours ahead or behind for a while", Need::Clock,
         jump},
    };
}

}  // namespace antipode::chaos
