// The primary's commits wait until they are safe on the secondary.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Synchronous : public testing::Test {
  protected:
    Synchronous() : sites_("", "synchronous = true\n") {}

    void SetUp() override {
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
        sites_.london.sql("ALTER SYSTEM SET synchronous_standby_names = '\"antipode_app\"'");
        sites_.london.sql("SELECT pg_reload_conf()");
        ASSERT_TRUE(eventually([&] {
            return sites_.london.sql(
                       "SELECT sync_state FROM pg_stat_replication WHERE "
                       "application_name = 'antipode_app'") == "sync";
        })) << sites_.describe();
    }

    /// Runs statements one by one in one session; false when the session broke.
    static bool run_all(const PostgresServer& server, const std::string& database,
                        const std::string& statements) {
        return run({PostgresServer::program("psql"), "-Xq", "-v", "ON_ERROR_STOP=1",
                    server.url(database)},
                   statements)
                   .status == 0;
    }
    static double milliseconds_of(const std::function<void()>& use) {
        const auto begin = Clock::now();
        use();
        return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    }

    TwoSites sites_;
};

TEST_F(Synchronous, CommitsAreConfirmedAtOnceAlsoThoseOfOtherDatabases) {
    constexpr int commits = 200;
    std::string statements;
    for (int i = 0; i < commits; ++i) {
        statements += "INSERT INTO journal VALUES ('" + std::to_string(i) + "');\n";
    }
    const double asynchronous = milliseconds_of([&] {
        run_all(sites_.london.postgres, "app", "SET synchronous_commit = local;" + statements);
    });
    const double synchronous =
        milliseconds_of([&] { run_all(sites_.london.postgres, "app", statements); });
    std::cout << "commit, ms: " << asynchronous / commits << " alone, " << synchronous / commits
              << " waiting for the other site\n";
    EXPECT_LT(synchronous / commits, 100) << "it waits for a heartbeat";
    const double elsewhere = milliseconds_of([&] {
        std::string others = "CREATE TABLE other (id int);\n";
        for (int i = 0; i < 20; ++i) {
            others += "INSERT INTO other VALUES (1);\n";
        }
        EXPECT_TRUE(run_all(sites_.london.postgres, "postgres", others));
    });
    std::cout << "commit in another database, ms: " << elsewhere / 21 << "\n";
    EXPECT_LT(elsewhere / 21, 500) << "it waits for the next transaction of ours";
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
}

TEST_F(Synchronous, CommitsWaitWhileTheSiteCannotStore) {
    sites_.sydney.nats.kill();
    std::jthread commit([&] {
        EXPECT_TRUE(run_all(sites_.london.postgres, "app", "INSERT INTO journal VALUES ('w')"));
    });
    const auto waits = [&] {
        return sites_.london.sql(
                   "SELECT count(*) FROM pg_stat_activity WHERE wait_event = "
                   "'SyncRep'") == "1";
    };
    ASSERT_TRUE(eventually(waits)) << sites_.describe();
    EXPECT_EQ(sites_.london.sql("SELECT count(*) FROM journal WHERE what = 'w'"), "0")
        << "nobody sees it before";
    sites_.sydney.nats.start();
    commit.join();
    EXPECT_EQ(sites_.london.sql("SELECT count(*) FROM journal WHERE what = 'w'"), "1");
}

TEST_F(Synchronous, NothingAcknowledgedIsLostWithEverythingOfThePrimary) {
    std::atomic<int> acknowledged = 0;
    std::jthread writer([&](const std::stop_token& stop) {
        for (int i = 1; !stop.stop_requested(); ++i) {
            if (!run_all(sites_.london.postgres, "app",
                         "INSERT INTO journal VALUES ('" + std::to_string(i) + "')")) {
                return;
            }
            acknowledged = i;
        }
    });
    ASSERT_TRUE(eventually([&] { return acknowledged >= 50; })) << sites_.describe();
    sites_.london.postgres.kill();
    sites_.london.nats.kill();
    sites_.london.kill();
    writer.join();
    EXPECT_TRUE(eventually([&] {
        return sites_.sydney.sql(
                   "SELECT count(DISTINCT what::int) FROM journal WHERE what ~ "
                   "'^[0-9]+$' AND what::int <= " +
                   std::to_string(acknowledged.load())) == std::to_string(acknowledged.load());
    })) << acknowledged
        << sites_.describe();
}

}  // namespace
}  // namespace antipode::test
