// Processes that die or stand still, and servers that lose what they had.
#include <csignal>
#include <stdexcept>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/tracing.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

void kill_daemon(Stage& stage) {
    Site& site = stage.any();
    site.kill();
    stage.hold(stage.some(8));
    site.start();
}

void kill_broker(Stage& stage) {
    Site& site = stage.any();
    site.nats.kill();
    stage.hold(stage.some(8));
    site.nats.start();
}

void kill_database(Stage& stage) {
    Site& site = stage.any();
    site.postgres.kill();
    stage.hold(stage.some(6));
    site.postgres.start();
}

void kill_site(Stage& stage) {
    Site& site = stage.any();
    stage.sites.kill(site);
    stage.hold(stage.some(6));
    stage.sites.boot(site);
}

/// Dies again as soon as it answers.
void kill_daemon_again_and_again(Stage& stage) {
    Site& site = stage.any();
    for (int times = stage.some(4); times > 0; --times) {
        site.kill();
        stage.hold(1);
        site.start();
    }
}

void stop_daemon(Stage& stage) {
    Site& site = stage.any();
    site.daemon().signal(SIGSTOP);
    stage.hold_or_outlast(stage.some(12));
    site.daemon().signal(SIGCONT);
}

void stop_broker(Stage& stage) {
    Site& site = stage.any();
    site.nats.process().signal(SIGSTOP);
    stage.hold_or_outlast(stage.some(12));
    site.nats.process().signal(SIGCONT);
}

void stop_database(Stage& stage) {
    Site& site = stage.any();
    site.postgres.freeze();
    stage.hold_or_outlast(stage.some(12));
    site.postgres.thaw();
}

void lose_broker(Stage& stage) {
    Site& site = stage.any();
    site.nats.kill();
    std::filesystem::remove_all(site.nats.store_directory());
    stage.hold(stage.some(4));
    site.nats.start();
}

/// Between any two steps: strace kills it at its N-th call of a kind, in whichever thread.
void kill_daemon_at_call(Stage& stage) {
    constexpr const char* calls[] = {"fdatasync", "fsync",  "rename,renameat,renameat2",
                                     "pwrite64",  "sendto", "getdents64"};
    Site& site = stage.any();
    const std::string call = calls[stage.chance.below(std::size(calls))];
    const std::string count = std::to_string(1 + stage.chance.below(40));
    site.kill();
    site.launch(under_strace({call, "signal=SIGKILL:when=" + count, "/dev/null"}));
    if (!test::eventually([&] { return !site.daemon().running(); }, 20s)) {
        stage.miss("no thread of it has called " + call + " " + count + " times");
    }
    site.kill();
    site.start();
}

/// Of a site whose daemon is down: what it remembers of its stores, whichever half it is.
std::vector<std::filesystem::path> state_of(const Site& site) {
    std::vector<std::filesystem::path> files;
    for (const char* database : {"registry.db", "inventory.db"}) {
        for (const char* end : {"", "-wal", "-shm"}) {
            files.push_back(site.directory / "state" / (std::string(database) + end));
        }
    }
    return files;
}

void remove_state(const Site& site) {
    for (const auto& file : state_of(site)) {
        std::filesystem::remove(file);
    }
}

void lose_state(Stage& stage) {
    Site& site = stage.any();
    site.kill();
    stage.hold(stage.some(6));
    remove_state(site);
    site.start();
}

/// Every page but the first is overwritten; the operator does what the log says.
void damage_state(Stage& stage) {
    Site& site = stage.any();
    site.daemon().stop();
    const auto place = std::filesystem::file_size(site.directory / "antipoded.log");
    for (const auto& file : state_of(site)) {
        if (std::filesystem::exists(file)) {
            const std::string bytes = test::read_file(file);
            test::write_file(file, bytes.substr(0, 100) + std::string(bytes.size() - 100, 'x'));
        }
    }
    site.launch({});
    const bool told = test::eventually(
        [&] {
            const std::string said = test::read_file(site.directory / "antipoded.log");
            return said.find("stop antipoded, move ", place) != std::string::npos;
        },
        30s);
    stage.expect(told, Invariant::Named,
                 "the log of " + site.name + " does not say that its state is damaged");
    site.daemon().stop();
    remove_state(site);
    site.start();
}

/// The slot is gone and the operator does what status says.
void lose_slot(Stage& stage) {
    Site& primary = stage.primary();
    primary.daemon().stop();
    stage.hold(stage.some(4));
    primary.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    stage.hold(stage.some(4));
    primary.start();
    const bool told = test::eventually(
        [&] {
            const auto step =
                primary.status(".stores[] | select(.store == \"database/app\") | .next_step");
            return step && step->find("antipode database new-slot") != std::string::npos;
        },
        30s);
    stage.expect(told, Invariant::Named, "status does not say that the slot is gone");
    const test::CommandResult made = primary.antipode({"database", "new-slot"});
    if (made.status != 0) {
        throw std::runtime_error("antipode database new-slot: " + made.error + made.output);
    }
}

/// What PostgreSQL has said of slots that it ended, from a place of its log on.
bool has_ended_slot(const Site& site, size_t place) {
    return test::read_file(site.directory / "pg/postgres.log").find("invalidating", place) !=
           std::string::npos;
}

/// Nobody confirms what is written meanwhile: the primary's daemon is down, or lives and reaches no
/// mirror. PostgreSQL ends the slot; nobody says anything to anybody.
void overrun_slot(Stage& stage) {
    Site& primary = stage.primary();
    const auto place = std::filesystem::file_size(primary.directory / "pg/postgres.log");
    const bool is_down = stage.chance.one_in(2);
    if (is_down) {
        primary.daemon().stop();
    } else {
        stage.sites.reset_all();
    }
    primary.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    primary.sql("SELECT pg_reload_conf()");
    // The slot may hold what is older than the last file of the log, and none is older than two.
    const bool ended = test::eventually(
        [&] {
            stage.hold(2);
            primary.sql("SELECT pg_switch_wal()");
            primary.sql("CHECKPOINT");
            return has_ended_slot(primary, place);
        },
        30s);
    primary.sql("ALTER SYSTEM RESET max_slot_wal_keep_size");
    primary.sql("SELECT pg_reload_conf()");
    if (!ended) {
        throw std::runtime_error("PostgreSQL has not ended the slot");
    }
    stage.hold(stage.some(6));
    if (is_down) {
        primary.start();
    } else {
        stage.sites.heal();
    }
    const bool has_one = test::eventually(
        [&] { return primary.sql("SELECT wal_status FROM pg_replication_slots") == "reserved"; },
        60s);
    stage.expect(has_one, Invariant::Recovers,
                 "no slot is made in the place of the one that PostgreSQL has ended");
}

}  // namespace

std::vector<Fault> process_faults() {
    return {
        {"kill-daemon", "kill -9 of antipoded of either site", Need::Nothing, kill_daemon},
        {"kill-daemon-often", "the same again and again, as soon as it answers", Need::Nothing,
         kill_daemon_again_and_again},
        {"kill-daemon-at-call", "kill -9 of antipoded at its N-th fsync, rename, write, send",
         Need::Trace, kill_daemon_at_call},
        {"kill-broker", "kill -9 of nats-server of either site", Need::Nothing, kill_broker},
        {"kill-database", "kill -9 of PostgreSQL of either site", Need::Nothing, kill_database},
        {"kill-site", "kill -9 of everything of either site", Need::Nothing, kill_site},
        {"stop-daemon", "SIGSTOP of antipoded, then SIGCONT", Need::Nothing, stop_daemon},
        {"stop-broker", "SIGSTOP of nats-server, then SIGCONT", Need::Nothing, stop_broker},
        {"stop-database", "SIGSTOP of PostgreSQL, then SIGCONT", Need::Nothing, stop_database},
        losing({"lose-broker", "nats-server dies and its store is deleted", Need::Nothing,
                lose_broker}),
        {"lose-state", "what either daemon remembers of its stores is deleted", Need::Nothing,
         lose_state},
        {"damage-state", "the same is overwritten; what the log says is done", Need::Nothing,
         damage_state},
        losing({"lose-slot", "the replication slot is dropped while the daemon is down; new-slot",
                Need::Nothing, lose_slot}),
        losing({"slot-overrun", "PostgreSQL ends the slot (max_slot_wal_keep_size)", Need::Nothing,
                overrun_slot}),
    };
}

}  // namespace antipode::chaos
