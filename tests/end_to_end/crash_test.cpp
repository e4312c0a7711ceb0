#include <csignal>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;

/// Writes all the time in a thread of its own.
class Load {
  public:
    explicit Load(Application& application)
        : thread_([&](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  application.write();
                  if (application.writes() % 4 == 0) {
                      application.remove_oldest();
                  }
                  writes_ = application.writes();
              }
          }) {}
    /// Waits for `count` more acknowledged writes: progress, not time, paces the faults.
    bool go_on(int count) {
        const int target = writes_ + count;
        return eventually([&] { return writes_ >= target; });
    }
    void stop() {
        thread_.request_stop();
        thread_.join();
    }

  private:
    std::atomic<int> writes_ = 0;
    std::jthread thread_;
};

TEST(Crash, EveryProcessIsKilledOnceDuringTheLoad) {
    TwoSites sites("hold_deletions = false\n");  // the load removes many
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    Load load(application);
    for (Site* site : {&sites.london, &sites.sydney}) {
        ASSERT_TRUE(load.go_on(3));
        site->kill();
        ASSERT_TRUE(load.go_on(2));
        site->start();
        ASSERT_TRUE(load.go_on(3));
        site->nats.kill();
        ASSERT_TRUE(load.go_on(2));
        site->nats.start();
        ASSERT_TRUE(load.go_on(3));
        site->postgres.kill();
        site->postgres.start();
    }
    ASSERT_TRUE(load.go_on(3));
    load.stop();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

/// strace sends a daemon a signal when it makes its N-th call of a kind: between reading what
/// changed, publishing, the broker's acknowledgement, applying, and recording.
std::vector<std::string> signal_at(const std::string& signal, const std::string& call, int count,
                                   const std::filesystem::path& trace) {
    return {"strace",
            "-f",
            "-q",
            "-o",
            trace.string(),
            "-e",
            "trace=" + call,
            "-e",
            "inject=" + call + ":signal=" + signal + ":when=" + std::to_string(count)};
}

/// Killed between the acknowledgement and the record, at a file that was removed before it was
/// back.
TEST(Crash, AFileThatWentBeforeItsPublishingWasRecordedGoesOnSecondariesToo) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    write_file(sites.london.files_root / "brief.bin", "brief");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    ASSERT_TRUE(std::filesystem::exists(sites.sydney.files_root / "brief.bin"));
    sites.london.kill();
    {
        sqlite::Database inventory(sites.london.directory / "state/inventory.db",
                                   sqlite::Database::Sync::Full);
        ASSERT_EQ(
            inventory.execute("DELETE FROM published WHERE item = ?", {sqlite::Bytes{"brief.bin"}}),
            1);
        inventory.execute("UPDATE recorded SET epoch = 0, session = 0, number = 0");
    }
    std::filesystem::remove(sites.london.files_root / "brief.bin");
    sites.london.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

/// The same at a push that was taken back before the daemon was back: as recorded, nothing changed.
TEST(Crash, APushThatWasTakenBackBeforeItsPublishingWasRecordedIsTakenBackOnSecondariesToo) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto git = [&](const std::vector<std::string>& arguments) {
        std::vector<std::string> command = {"git", "-C",
                                            (sites.london.git_root / "app.git").string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return must_run(command);
    };
    const auto file = sites.london.directory / "state/inventory.db";
    const auto copy = sites.temporary / "inventory.db";
    sites.london.daemon().stop();
    std::filesystem::copy_file(file, copy);
    const std::filesystem::path refs = sites.london.git_root / "app.git/refs";
    must_run({"cp", "-a", refs.string(), (sites.temporary / "refs").string()});
    sites.london.start();
    git({"update-ref", "refs/heads/brief", "main"});
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    sites.london.kill();
    {
        sqlite::Database inventory(file, sqlite::Database::Sync::Full);
        inventory.execute("ATTACH ? AS before", {copy.string()});
        inventory.execute("INSERT OR REPLACE INTO published SELECT * FROM before.published");
        inventory.execute("UPDATE recorded SET epoch = 0, session = 0, number = 0");
    }
    std::filesystem::remove_all(refs);
    must_run({"cp", "-a", (sites.temporary / "refs").string(), refs.string()});
    sites.london.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

struct Step {
    const char* name;
    const char* call;
    std::vector<int> counts;
};

class KilledBetweenSteps : public testing::Test {
  protected:
    using Pick = Site& (*)(TwoSites&);

    void SetUp() override {
        const CommandResult traced = test::run({"strace", "-qq", "-o", "/dev/null", "true"});
        ASSERT_NE(traced.status, 127) << "strace is missing: scripts/packages install";
        if (traced.status != 0) {
            ASSERT_NE(traced.error.find("not permitted"), std::string::npos) << traced.error;
            GTEST_SKIP() << "this machine forbids ptrace: " << traced.error;
        }
    }

    /// `fault` is done at each step, and leaves the daemon running as usual.
    void run(Pick pick, const std::vector<Step>& steps,
             const std::function<void(Site&, const Step&, int count)>& fault) {
        TwoSites sites("hold_deletions = false\n");  // the load removes many
        Application application(sites.london);
        application.write();
        ASSERT_TRUE(sites.caught_up()) << sites.describe();
        Load load(application);
        Site& site = pick(sites);
        for (const Step& step : steps) {
            for (const int count : step.counts) {
                SCOPED_TRACE(std::string(step.name) + ", time " + std::to_string(count));
                std::filesystem::remove(site.directory / "trace");
                site.kill();
                ASSERT_NO_FATAL_FAILURE(fault(site, step, count));
                site.start();
            }
        }
        ASSERT_TRUE(load.go_on(2));
        load.stop();
        ASSERT_TRUE(sites.caught_up()) << sites.describe();
        sites.expect_equal();
    }

    static std::string trace_of(const Site& site) {
        const auto trace = site.directory / "trace";
        return std::filesystem::exists(trace) ? read_file(trace) : std::string();
    }

    static void kill_daemon(Site& site, const Step& step, int count) {
        site.start(signal_at("SIGKILL", step.call, count, site.directory / "trace"));
        ASSERT_TRUE(eventually([&] { return !site.daemon().running(); })) << "was not reached";
        // strace ends as what it traced did.
        EXPECT_EQ(site.daemon().ended_by(), SIGKILL) << read_file(site.directory / "antipoded.log");
        const std::string trace = trace_of(site);
        EXPECT_NE(trace.find(std::string(step.call) + "("), std::string::npos) << trace;
        EXPECT_NE(trace.find("killed by SIGKILL"), std::string::npos) << trace;
    }

    /// The daemon stands still at the step while both of its servers are killed and come back.
    static void kill_servers(Site& site, const Step& step, int count) {
        site.launch(signal_at("SIGSTOP", step.call, count, site.directory / "trace"));
        ASSERT_TRUE(eventually([&] {
            return trace_of(site).find("stopped by SIGSTOP") != std::string::npos;
        })) << "was not reached";
        const std::string tracer = std::to_string(site.daemon().pid());
        const pid_t daemon = std::stoi(must_run({"pgrep", "-P", tracer, "antipoded"}));
        site.nats.kill();
        site.postgres.kill();
        site.nats.start();
        site.postgres.start();
        // It goes on and finds its servers again. strace counts each thread's calls by themselves,
        // so that others reach the step later.
        EXPECT_TRUE(eventually([&] {
            kill(daemon, SIGCONT);
            return site.status(".site").has_value();
        }));
        kill(daemon, SIGKILL);
        ASSERT_TRUE(eventually([&] { return !site.daemon().running(); }));
    }
};

Site& london_of(TwoSites& sites) {
    return sites.london;
}
Site& sydney_of(TwoSites& sites) {
    return sites.sydney;
}

TEST_F(KilledBetweenSteps, OfThePrimary) {
    run(london_of,
        {{"reading a repository or a file", "getdents64", {3, 40}},
         {"reading a file", "pread64", {20, 90}},
         {"publishing", "sendto", {30, 90, 160}},
         {"between acknowledgement and barrier", "fdatasync", {2, 7, 15}},
         {"recording what was published", "pwrite64", {12, 30, 60}}},
        kill_daemon);
}

TEST_F(KilledBetweenSteps, OfTheSecondary) {
    run(sydney_of,
        {{"relaying", "sendto", {25, 60, 120}},
         {"between relaying and barrier", "fdatasync", {2, 6, 14}},
         {"applying a file: moving it into place", "renameat", {1, 3}},
         {"applying: syncing", "fsync", {1, 5}},
         {"recording what was applied", "pwrite64", {10, 25, 60}}},
        kill_daemon);
}

TEST_F(KilledBetweenSteps, TheServersOfThePrimary) {
    run(london_of,
        {{"reading a repository or a file", "getdents64", {40}},
         {"publishing", "sendto", {90}},
         {"between acknowledgement and barrier", "fdatasync", {7}},
         {"recording what was published", "pwrite64", {30}}},
        kill_servers);
}

TEST_F(KilledBetweenSteps, TheServersOfTheSecondary) {
    run(sydney_of,
        {{"relaying", "sendto", {60}},
         {"between relaying and barrier", "fdatasync", {6}},
         {"applying a file: moving it into place", "renameat", {1}},
         {"recording what was applied", "pwrite64", {25}}},
        kill_servers);
}

}  // namespace
}  // namespace antipode::test
