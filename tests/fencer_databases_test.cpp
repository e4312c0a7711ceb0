// The fencer with real servers of databases: one that hangs or that it may not fence keeps nothing
// else open, and is known before the lease ends.
#include <csignal>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipode-fencer/fencer.hpp"
#include "base/error.hpp"
#include "base/places.hpp"
#include "failover/fences.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::HasSubstr;

/// A site with two databases on two servers, "app" before "wiki", a store of repositories, and a
/// service that is a file.
class FencerOfDatabases : public testing::Test {
  protected:
    FencerOfDatabases() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = directory_ / "state";
        std::filesystem::create_directories(config_.state_dir);
        config_.repositories = {{"git", directory_ / "git"}};
        config_.failover.fence_command = {"/bin/rm", "-f", service().string()};
        config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
        write_file(service(), "");
        for (PostgresServer* server : {&app_, &wiki_}) {
            server->psql(
                "CREATE ROLE app LOGIN; CREATE ROLE daemon LOGIN; CREATE DATABASE app "
                "OWNER app");
            server->psql("CREATE TABLE t (id int); GRANT ALL ON t TO app", "app");
            Config::Database& store = config_.databases.emplace_back();
            store.name = server == &app_ ? "app" : "wiki";
            store.url = server->url("app", "daemon");
        }
        grant(app_);
        grant(wiki_);
        renew();
    }
    static void grant(const PostgresServer& server) {
        server.psql("GRANT app, pg_read_all_stats, pg_signal_backend TO daemon");
    }
    std::filesystem::path service() const { return directory_ / "service"; }
    bool runs() const { return std::filesystem::exists(service()); }
    bool takes_pushes() const { return !std::filesystem::exists(hook_fence(config_, "git")); }
    static bool takes_rows(const PostgresServer& server) {
        return run({PostgresServer::program("psql"), "-Xc", "INSERT INTO t VALUES (1)",
                    server.url("app", "app")})
                   .status == 0;
    }
    void renew(std::chrono::seconds time = 15s) {
        failover::write_lease_file(
            config_.state_dir, {failover::boot_id(), clock_.boot_now() + time, true, 1, "london"});
    }
    /// A step's outcome; it may take no longer than what another site waits for.
    bool step() {
        const auto begun = steady_clock::now();
        const bool worked = fencer_.step();
        EXPECT_LT(steady_clock::now() - begun, 6s) << fencer_.said().problem;
        return worked;
    }

    TemporaryDirectory directory_;
    ManualClock clock_;
    Config config_;
    PostgresServer app_{directory_ / "app"};
    PostgresServer wiki_{directory_ / "wiki"};
    Fencer fencer_{config_, clock_};
};

TEST_F(FencerOfDatabases, ClosesEverythingElseWhileAServerHangs) {
    app_.freeze();
    renew(0s);
    std::jthread closing([&] { EXPECT_FALSE(step()); });
    const auto begun = steady_clock::now();
    EXPECT_TRUE(eventually([&] { return !runs() && !takes_pushes() && !takes_rows(wiki_); }, 5s));
    EXPECT_LT(steady_clock::now() - begun, 2s) << "it has waited for the one that hangs";
    closing.join();
    EXPECT_THAT(fencer_.said().problem, HasSubstr("database/app: "));
    app_.thaw();
    EXPECT_TRUE(step()) << fencer_.said().problem;
    EXPECT_FALSE(takes_rows(app_));
    renew();
    EXPECT_TRUE(step()) << fencer_.said().problem;
    EXPECT_TRUE(runs() && takes_pushes() && takes_rows(app_) && takes_rows(wiki_));
}

TEST_F(FencerOfDatabases, ClosesEverythingElseWhereItMayNotFenceOne) {
    app_.psql("REVOKE app FROM daemon");
    renew(0s);
    EXPECT_FALSE(step());
    EXPECT_THAT(fencer_.said().problem, HasSubstr("database/app: "));
    EXPECT_TRUE(takes_rows(app_));
    EXPECT_FALSE(takes_rows(wiki_));
    EXPECT_FALSE(runs());
    EXPECT_FALSE(takes_pushes());
}

TEST_F(FencerOfDatabases, SaysBeforeTheLeaseEndsThatItMayNotFence) {
    EXPECT_TRUE(step());
    fencer_.rights().look();
    EXPECT_TRUE(step()) << fencer_.said().problem;
    app_.psql("REVOKE app FROM daemon");
    wiki_.psql("REVOKE pg_read_all_stats, pg_signal_backend FROM daemon");
    fencer_.rights().look();
    EXPECT_FALSE(step());
    EXPECT_EQ(failover::read_fencer_file(config_.state_dir)->state, "watching");
    const std::string problem = failover::read_fencer_file(config_.state_dir)->problem;
    EXPECT_THAT(problem, HasSubstr("database/app cannot be fenced: the role daemon may not take "
                                   "CONNECT from others. Try: GRANT"));
    EXPECT_THAT(problem, HasSubstr("database/wiki cannot be fenced: the role daemon cannot see"));
    grant(app_);
    grant(wiki_);
    fencer_.rights().look();
    EXPECT_TRUE(step()) << fencer_.said().problem;
}

TEST_F(FencerOfDatabases, LooksByItselfAndIsNotHeldUpByAServerThatHangs) {
    wiki_.psql("REVOKE app FROM daemon");
    fencer_.rights().start();
    EXPECT_TRUE(eventually([&] { return !step(); }, 20s)) << "it has not looked";
    EXPECT_THAT(fencer_.said().problem, HasSubstr("database/wiki cannot be fenced"));
    grant(wiki_);
    app_.freeze();
    // Once is nothing: a server may be started anew.
    const auto step_takes_no_time = [&] {
        clock_.advance(1s);
        renew();
        const auto begun = steady_clock::now();
        fencer_.step();
        EXPECT_LT(steady_clock::now() - begun, 1s);
    };
    EXPECT_TRUE(eventually([&] {
        step_takes_no_time();
        return fencer_.said().problem.empty();
    }));
    EXPECT_TRUE(eventually([&] {
        step_takes_no_time();
        return fencer_.said().problem.find("database/app can be fenced is not known") !=
               std::string::npos;
    })) << fencer_.said().problem;
    renew(0s);
    const auto begun = steady_clock::now();
    std::jthread closing([&] { step(); });
    EXPECT_TRUE(eventually([&] { return !runs() && !takes_pushes() && !takes_rows(wiki_); }, 5s));
    EXPECT_LT(steady_clock::now() - begun, 2s);
    closing.join();
    app_.thaw();
}

/// A session that does not end keeps no other from being ended.
TEST_F(FencerOfDatabases, TellsAllSessionsToEndBeforeItWaitsForOne) {
    const auto session = [&] {
        return Process({PostgresServer::program("psql"), "-Xc", "SELECT pg_sleep(600)",
                        app_.url("app", "app")},
                       {});
    };
    const auto pids = [&] {
        return app_.psql(
            "SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '') FROM "
            "pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'");
    };
    Process first = session();
    EXPECT_TRUE(eventually([&] { return !pids().empty(); }));
    const pid_t stubborn = std::stoi(pids());
    Process second = session();
    EXPECT_TRUE(eventually([&] { return pids().find(' ') != std::string::npos; }));
    kill(stubborn, SIGSTOP);
    renew(0s);
    EXPECT_FALSE(step());
    EXPECT_NE(second.wait(5s), 0) << "it is still connected";
    EXPECT_THAT(fencer_.said().problem, HasSubstr("database/app: "));
    kill(stubborn, SIGCONT);
    EXPECT_TRUE(eventually([&] { return step(); }, 10s)) << fencer_.said().problem;
}

/// The service's own way to the server, tried when the fence is closed and whenever it is checked.
TEST_F(FencerOfDatabases, TriesToWriteAsTheServiceWhereItIsToldHow) {
    failover::Fences fences(config_);
    const auto problem_of = [](const std::function<void()>& what) {
        try {
            what();
            return std::string();
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Stop);
            return std::string(error.what());
        }
    };
    config_.databases[0].write_check_url = app_.url("app", "app");
    EXPECT_EQ(problem_of([&] { fences.close("sydney"); }), "");
    EXPECT_EQ(problem_of([&] { fences.check(); }), "");
    // What the catalog does not say: who comes by another way.
    config_.databases[1].write_check_url = wiki_.url("app", "postgres");
    const char* const holds_not = "database/wiki does not hold: write_check_url could begin";
    EXPECT_THAT(problem_of([&] { fences.check(); }), HasSubstr(holds_not));
    EXPECT_THAT(problem_of([&] { fences.close("sydney"); }), HasSubstr(holds_not));
    EXPECT_THAT(problem_of([&] { fences.shut("sydney"); }), HasSubstr(holds_not));
    config_.databases[1].write_check_url = wiki_.url("no_such_database", "app");
    EXPECT_THAT(problem_of([&] { fences.check(); }), HasSubstr("does not exist"));
    // Nor does a lease that ends wait for it.
    failover::Fences of_the_lease(config_, failover::patience_without_lease);
    EXPECT_EQ(problem_of([&] { of_the_lease.shut_without_lease(); }), "");
}

}  // namespace
}  // namespace antipode::test
