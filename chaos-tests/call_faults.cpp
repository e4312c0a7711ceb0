// Calls of the servers, and of git, to the kernel: they fail, or are the last ones.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/tracing.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

using Calls = std::vector<const char*>;

/// What the command line answers when it has found something (antipode(1)).
constexpr int findings = 3;

Injection injection_of(const Site& site, const std::string& calls, const std::string& what) {
    return {calls, what, site.directory / "calls"};
}

std::string one_of(Stage& stage, const Calls& calls) {
    return calls[stage.chance.below(calls.size())];
}

/// Some calls in a row, of each thread or process, from one of the first `most` on.
std::string some_fail(Stage& stage, size_t most) {
    const auto first = 1 + stage.chance.below(most);
    const auto last = first + stage.chance.below(20);
    return std::string("error=") + (stage.chance.one_in(2) ? "EIO" : "ENOSPC") +
           ":when=" + std::to_string(first) + ".." + std::to_string(last);
}

std::string last_one(Stage& stage, size_t most) {
    return "signal=SIGKILL:when=" + std::to_string(1 + stage.chance.below(most));
}

void await_hit(Stage& stage, const Injection& injection) {
    if (!hits(injection)) {
        stage.miss("no " + injection.calls + " was hit");
    }
}

/// Whatever becomes of it.
void begin_checkpoint(const Site& site) {
    const test::InNetwork inside(site.network);
    test::run({test::PostgresServer::program("psql"), "-Xqc", "CHECKPOINT", site.postgres.url()});
}

/// Sockets use other calls.
void fail_calls_of_broker(Stage& stage) {
    Site& site = stage.any();
    const Injection injection = injection_of(site, "pwrite64", some_fail(stage, 8));
    {
        const Tracer tracer(injection, {site.nats.process().pid()});
        await_hit(stage, injection);
        stage.hold(stage.some(12));
    }
    // What it says then is what it has on the disk.
    if (stage.chance.one_in(2)) {
        site.nats.kill();
        site.nats.start();
    }
}

/// It syncs every two minutes.
void fail_syncs_of_broker(Stage& stage) {
    Site& site = stage.any();
    const Injection injection = injection_of(site, "fsync,fdatasync", "error=EIO:when=1+");
    const Tracer tracer(injection, {site.nats.process().pid()});
    if (!hits(injection, 150s)) {
        stage.miss("it synced nothing for longer than two minutes");
    }
    stage.hold(stage.some(12));
    cut_power_of(stage, site);
}

/// Its processes die of what they cannot write (PANIC), and its first one starts others, or dies,
/// too.
void fail_calls_of_database(Stage& stage) {
    Site& site = stage.any();
    const std::string calls =
        one_of(stage, {"fdatasync", "fsync", "pwrite64", "rename,renameat,renameat2"});
    const Injection injection = injection_of(site, calls, some_fail(stage, 4));
    {
        const Tracer tracer(injection, site.postgres.processes());
        begin_checkpoint(site);
        await_hit(stage, injection);
        stage.hold(stage.some(12));
    }
    site.postgres.start();
}

void fail_syncs_of_database(Stage& stage) {
    Site& site = stage.any();
    const Injection injection = injection_of(site, "fsync,fdatasync", "error=EIO:when=1+");
    const Tracer tracer(injection, site.postgres.processes());
    await_hit(stage, injection);
    stage.hold(stage.some(12));
    cut_power_of(stage, site);
}

void kill_broker_at_call(Stage& stage) {
    Site& site = stage.any();
    const Injection injection =
        injection_of(site, one_of(stage, {"pwrite64", "writev"}), last_one(stage, 40));
    const Tracer tracer(injection, {site.nats.process().pid()});
    await_hit(stage, injection);
    stage.hold(stage.some(6));
    site.nats.kill();
    site.nats.start();
}

/// Those whose title says that they do this; all of them when none does.
std::vector<pid_t> processes_of(const Site& site, const std::string& title) {
    std::vector<pid_t> processes = site.postgres.processes();
    for (const pid_t process : processes) {
        std::ifstream file("/proc/" + std::to_string(process) + "/cmdline");
        if (std::string name; std::getline(file, name) && name.starts_with("postgres: " + title)) {
            return {process};
        }
    }
    return processes;
}

/// All others end with it; the first one starts them again, unless it was that.
void kill_database_at_call(Stage& stage) {
    struct Target {
        const char* title;
        const char* calls;
        size_t most;
    };
    constexpr Target targets[] = {{"checkpointer", "pwrite64", 4},
                                  {"checkpointer", "fdatasync,fsync", 4},
                                  {"walwriter", "fdatasync", 2},
                                  {"any", "pwrite64", 4},
                                  {"any", "fdatasync", 4}};
    Site& site = stage.any();
    const Target& target = targets[stage.chance.below(std::size(targets))];
    const Injection injection = injection_of(site, target.calls, last_one(stage, target.most));
    {
        const Tracer tracer(injection, processes_of(site, target.title));
        begin_checkpoint(site);
        await_hit(stage, injection);
        stage.hold(stage.some(6));
    }
    site.postgres.start();
}

/// What git tells the disk, and how often each of its processes does at least.
struct CallOfGit {
    const char* name;
    size_t times;
};

CallOfGit call_of_git(Stage& stage) {
    constexpr CallOfGit calls[] = {{"write", 3},
                                   {"fsync,fdatasync,syncfs", 1},
                                   {"rename,renameat,renameat2", 1},
                                   {"link,linkat", 1}};
    return calls[stage.chance.below(std::size(calls))];
}

Injection some_fail_of_git(Stage& stage, const Site& site) {
    const CallOfGit call = call_of_git(stage);
    return injection_of(site, call.name, some_fail(stage, call.times));
}

Injection last_of_git(Stage& stage, const Site& site) {
    const CallOfGit call = call_of_git(stage);
    return injection_of(site, call.name, last_one(stage, call.times));
}

/// The repositories' end of the application's pushes: git-receive-pack(1), and what that starts.
void break_pushes(Stage& stage, const Injection& injection) {
    begin_record(injection);
    // As a service does that wants its pushes on the disk; by itself git syncs no loose objects.
    put_program(stage.sites.receive_pack(), "git -c core.fsync=all receive-pack",
                under_strace(injection));
    await_hit(stage, injection);
    stage.hold(stage.some(12));
    put_program(stage.sites.receive_pack(), Sites::plain_receive_pack);
}

/// What a killed git leaves would refuse every push from then on: the service's work, which knows
/// that nobody else pushes now.
void remove_locks(Stage& stage, const Site& site) {
    stage.workload.stop();
    test::must_run({"find", site.git_root.string(), "-name", ".antipode", "-prune", "-o", "-name",
                    "*.lock", "-type", "f", "-exec", "rm", "{}", "+"});
    stage.workload.start();
}

/// The service forks a repository, unless it has, and gives it something large.
void grow_fork(Stage& stage) {
    constexpr size_t bytes = 3'000'000;
    const std::filesystem::path root = stage.primary().git_root;
    const std::filesystem::path fork = root / "fork.git";
    if (!std::filesystem::exists(fork)) {
        test::must_run({"git", "clone", "-q", "--bare", "--no-hardlinks",
                        (root / Sites::repository(0)).string(), fork.string()});
    }
    std::string content;
    while (content.size() < bytes) {
        content += std::to_string(stage.chance.next());
    }
    const std::string object =
        test::must_run({"git", "-C", fork.string(), "hash-object", "-w", "--stdin"}, content);
    test::must_run({"git", "-C", fork.string(), "update-ref", "refs/tags/large", object});
}

/// Every git that the mirror's daemon starts: for small pushes it starts none, but it does for a
/// new repository, for packing anew, and to verify.
void break_git_of(Stage& stage, Site& mirror, const Injection& injection) {
    static const std::string git = test::must_run({"sh", "-c", "command -v git"});
    const auto tools = mirror.directory / "tools";
    std::filesystem::create_directories(tools);
    begin_record(injection);
    put_program(tools / "git", git, under_strace(injection));
    mirror.kill();
    mirror.environment["PATH"] = tools.string() + ":" + std::getenv("PATH");
    mirror.start();
    grow_fork(stage);
    const test::CommandResult verified =
        mirror.antipode({"verify", "repositories/git", "--timeout", "10"});
    stage.expect(verified.status != findings, Invariant::NoFalseAlarm,
                 "where git fails verify finds: " + verified.output + verified.error);
    await_hit(stage, injection);
    stage.hold(stage.some(12));
    put_program(tools / "git", git);
}

void fail_calls_of_pushes(Stage& stage) {
    break_pushes(stage, some_fail_of_git(stage, stage.primary()));
}

void fail_calls_of_git(Stage& stage) {
    Site& mirror = stage.mirror();
    break_git_of(stage, mirror, some_fail_of_git(stage, mirror));
}

void kill_pushes_at_call(Stage& stage) {
    const Site& site = stage.primary();
    break_pushes(stage, last_of_git(stage, site));
    remove_locks(stage, site);
}

void kill_git_at_call(Stage& stage) {
    Site& mirror = stage.mirror();
    break_git_of(stage, mirror, last_of_git(stage, mirror));
}

}  // namespace

std::vector<Fault> call_faults() {
    return {
        {"broker-io-errors", "writes of nats-server of either site fail (EIO, ENOSPC) for a while",
         Need::Trace, fail_calls_of_broker},
        {"database-io-errors",
         "writes, syncs or renames of PostgreSQL of either site do; it is started again",
         Need::FailingSync, fail_calls_of_database},
        {"push-io-errors", "writes, syncs or renames of the git that takes pushes do", Need::Trace,
         fail_calls_of_pushes},
        {"git-io-errors", "the same of every git that a mirror's daemon starts", Need::Trace,
         fail_calls_of_git},
        {"failed-sync-broker", "each sync of nats-server of either site fails, then the power does",
         Need::FailingSync, fail_syncs_of_broker},
        {"failed-sync-database", "the same of PostgreSQL", Need::FailingSync,
         fail_syncs_of_database},
        {"kill-broker-at-call", "kill -9 of nats-server of either site at its N-th write",
         Need::Trace, kill_broker_at_call},
        {"kill-database-at-call",
         "kill -9 of a process of PostgreSQL of either site at its N-th write or sync",
         Need::FailingSync, kill_database_at_call},
        {"kill-push-at-call",
         "kill -9 of the git that takes pushes at its N-th write, sync, rename", Need::Trace,
         kill_pushes_at_call},
        {"kill-git-at-call", "the same of every git that a mirror's daemon starts", Need::Trace,
         kill_git_at_call},
    };
}

}  // namespace antipode::chaos
