#include <functional>
#include <thread>

#include <gtest/gtest.h>

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
    TwoSites sites;
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

/// strace kills a daemon when it makes its N-th call of a kind: between reading what changed,
/// publishing, the broker's acknowledgement, applying, and recording.
std::vector<std::string> kill_at(const std::string& call, int count) {
    return {"strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=" + call,
            "-e",
            "inject=" + call + ":signal=SIGKILL:when=" + std::to_string(count)};
}

struct Step {
    const char* name;
    const char* call;
    std::vector<int> counts;
};

class KilledBetweenSteps : public testing::Test {
  protected:
    void run(Site& (*pick)(TwoSites&), const std::vector<Step>& steps) {
        TwoSites sites;
        Application application(sites.london);
        application.write();
        ASSERT_TRUE(sites.caught_up()) << sites.describe();
        Load load(application);
        Site& site = pick(sites);
        for (const Step& step : steps) {
            for (const int count : step.counts) {
                site.kill();
                site.start(kill_at(step.call, count));
                ASSERT_TRUE(eventually([&] { return !site.daemon().running(); }))
                    << step.name << ": was not reached " << count << " times";
                site.start();
            }
        }
        ASSERT_TRUE(load.go_on(2));
        load.stop();
        ASSERT_TRUE(sites.caught_up()) << sites.describe();
        sites.expect_equal();
    }
};

TEST_F(KilledBetweenSteps, OfThePrimary) {
    run([](TwoSites& sites) -> Site& { return sites.london; },
        {{"reading a repository or a file", "getdents64", {3, 40}},
         {"reading a file", "pread64", {20, 90}},
         {"publishing", "sendto", {30, 90, 160}},
         {"between acknowledgement and barrier", "fdatasync", {2, 7, 15}},
         {"recording what was published", "pwrite64", {12, 30, 60}}});
}

TEST_F(KilledBetweenSteps, OfTheSecondary) {
    run([](TwoSites& sites) -> Site& { return sites.sydney; },
        {{"relaying", "sendto", {25, 60, 120}},
         {"between relaying and barrier", "fdatasync", {2, 6, 14}},
         {"applying a file: moving it into place", "renameat", {1, 3}},
         {"applying: syncing", "fsync", {1, 5}},
         {"recording what was applied", "pwrite64", {10, 25, 60}}});
}

}  // namespace
}  // namespace antipode::test
