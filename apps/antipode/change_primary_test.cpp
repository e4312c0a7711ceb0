#include "apps/antipode/change_primary.hpp"

#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/antipode/loss_view.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "tests/support/memory_bucket.hpp"

namespace antipode::cli {
namespace {

using test::MemoryBucket;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;
namespace record_state = failover::record_state;

/// Two sites whose daemons say what the test wants, and never act.
struct Cluster {
    Config config;
    ManualClock clock;
    std::map<std::string, MemoryBucket::Server> servers;
    std::map<std::string, Json> statuses;
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};
    ChangeOptions options;
    OpenBucket open = [this](const Config::Site& site, bool) {
        return std::make_unique<MemoryBucket>(servers[site.name]);
    };
    Fetch fetch = [this](const std::string& url, std::chrono::milliseconds) -> Answer {
        const std::string site = url.find(":8840") != std::string::npos ? "london" : "sydney";
        if (statuses[site].is_null()) {
            throw Error(Reaction::Retry, "connection refused");
        }
        return {200, statuses[site].dump()};
    };

    Cluster() {
        config.cluster = "demo";
        config.site = "london";
        config.sites = {{"london", "nats://a:1", "http://a:8840"},
                        {"sydney", "nats://b:1", "http://b:2"}};
        for (const char* site : {"london", "sydney"}) {
            MemoryBucket bucket(servers[site]);
            failover::create_epoch(bucket, "demo", "london", "cli", clock.now());
        }
        statuses["london"] = status("london", "primary", "serving", "serving");
        statuses["sydney"] = status("sydney", "secondary", "streaming", "following");
        options.to = "sydney";
        options.pause = [this] { clock.advance(std::chrono::seconds(60)); };
    }
    Json status(const std::string& site, const char* role, const char* state, const char* change) {
        return {{"schema", "antipode.status/1"},
                {"site", site},
                {"role", role},
                {"now_us", to_microseconds(clock.now())},
                {"sites",
                 {{{"site", site},
                   {"state", state},
                   {"reason", ""},
                   {"recovery_point_us", to_microseconds(clock.now())},
                   {"lag_seconds", 0.5},
                   {"parked", 0}}}},
                {"failover",
                 {{"state", change},
                  {"primary", "london"},
                  {"epoch", 1},
                  {"operation", ""},
                  {"problem", ""},
                  {"ddl_captured", true},
                  {"blockers", Json::array()},
                  {"warnings", Json::array()}}}};
    }
    Preflight look(PreflightMode mode = PreflightMode::Switchover) {
        return look_before(config, fetch, "sydney", mode);
    }
    std::string blocker(PreflightMode mode = PreflightMode::Switchover) {
        const Preflight found = look(mode);
        return found.clear() ? "" : found.blockers.front().what;
    }
    v1::EpochRecord record(const std::string& site) {
        MemoryBucket bucket(servers[site]);
        return failover::read_epoch(bucket, "demo")->record;
    }
    ExitCode code_of(const std::function<ExitCode()>& command) {
        try {
            return command();
        } catch (const CommandError& thrown) {
            error << thrown.what() << " Try: " << thrown.next_step();
            return thrown.code();
        }
    }
    ExitCode plan() {
        return code_of([&] { return switchover(config, open, fetch, clock, output, options); });
    }
    ExitCode claim() {
        return code_of([&] { return promote(config, open, fetch, clock, output, options); });
    }
};

TEST(Preflight, NamesEachObstacleWithItsNextStep) {
    Cluster cluster;
    EXPECT_TRUE(cluster.look().clear());
    EXPECT_EQ(cluster.look().from, "london");
    Json& sydney = cluster.statuses["sydney"];
    const Json good = sydney;
    sydney["sites"][0]["lag_seconds"] = 70;
    EXPECT_THAT(cluster.blocker(), HasSubstr("sydney is 1m10s behind"));
    sydney = good;
    sydney["sites"][0]["recovery_point_us"] = nullptr;
    EXPECT_THAT(cluster.blocker(), HasSubstr("does not know its recovery point"));
    sydney = good;
    sydney["sites"][0]["parked"] = 3;
    EXPECT_THAT(cluster.blocker(), HasSubstr("3 items failed on sydney"));
    sydney = good;
    sydney["failover"]["ddl_captured"] = false;
    EXPECT_THAT(cluster.blocker(), HasSubstr("DDL"));
    sydney = good;
    sydney["failover"]["blockers"] = {{{"what", "wal_level is replica"}, {"next_step", "set it"}}};
    EXPECT_EQ(cluster.blocker(), "sydney: wal_level is replica");
    EXPECT_EQ(cluster.look().blockers.front().next_step, "set it");
    sydney["failover"]["blockers"] = nullptr;
    EXPECT_THAT(cluster.blocker(), HasSubstr("has not looked yet"));
    sydney = nullptr;
    EXPECT_THAT(cluster.blocker(), HasSubstr("sydney does not answer"));
    sydney = good;
    cluster.config.sites.push_back({"tokyo", "nats://c:1", "http://c:2"});
    EXPECT_THAT(cluster.blocker(), HasSubstr("two only"));
}

TEST(Preflight, WorksWithoutThePrimaryForAFailoverOnly) {
    Cluster cluster;
    EXPECT_THAT(cluster.blocker(PreflightMode::Failover), HasSubstr("london answers"));
    cluster.statuses["london"] = nullptr;
    EXPECT_THAT(cluster.blocker(), HasSubstr("the primary does not answer"));
    const Preflight found = cluster.look(PreflightMode::Failover);
    EXPECT_TRUE(found.clear());
    EXPECT_THAT(render(found, false), HasSubstr("LOST IF RUN NOW"));
    EXPECT_THAT(render(found, false), HasSubstr("last report of london: ?"));
}

TEST(ChangeOfPrimary, WritesNothingBeforeItIsConfirmedAndNothingDryOrBlocked) {
    Cluster cluster;
    const std::string before = cluster.record("london").SerializeAsString();
    EXPECT_EQ(cluster.plan(), ExitCode::Usage);
    cluster.options.read_line = [] { return "london"; };
    EXPECT_EQ(cluster.plan(), ExitCode::Usage) << "the wrong name was typed";
    cluster.options.dry_run = true;
    cluster.options.yes = true;
    EXPECT_EQ(cluster.plan(), ExitCode::Ok);
    cluster.options.dry_run = false;
    cluster.statuses["sydney"] = nullptr;
    EXPECT_EQ(cluster.plan(), ExitCode::Blocked);
    EXPECT_EQ(cluster.record("london").SerializeAsString(), before);
}

TEST(ChangeOfPrimary, AsksByCompareAndSetAndStopsWatchingInTime) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    EXPECT_EQ(cluster.plan(), ExitCode::TimedOut) << cluster.error.str();
    const v1::EpochRecord asked = cluster.record("london");
    EXPECT_EQ(asked.state(), record_state::switchover);
    EXPECT_EQ(asked.target(), "sydney");
    EXPECT_TRUE(is_valid_name(asked.operation_id())) << asked.operation_id();
    EXPECT_EQ(cluster.plan(), ExitCode::TimedOut) << "the second one watches";
    EXPECT_EQ(cluster.record("london").SerializeAsString(), asked.SerializeAsString());
    cluster.options.to = "london";
    EXPECT_EQ(cluster.plan(), ExitCode::Conflict);
    cluster.options.abort = true;
    EXPECT_EQ(cluster.plan(), ExitCode::Ok);
    EXPECT_EQ(cluster.record("london").state(), record_state::aborting);
    EXPECT_EQ(cluster.plan(), ExitCode::Failed) << "there is nothing left to give up";
}

TEST(ChangeOfPrimary, APromotionNeedsTheOperatorsProof) {
    Cluster cluster;
    cluster.options.yes = true;
    cluster.options.fenced_by = "a wish";
    EXPECT_EQ(cluster.claim(), ExitCode::Blocked) << "london answers";
    cluster.statuses["london"] = nullptr;
    cluster.options.fenced_by.clear();
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    EXPECT_EQ(cluster.record("sydney").state(), record_state::serving);
    cluster.options.fenced_by = "power off";
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_EQ(cluster.record("sydney").state(), record_state::promoting);
    EXPECT_EQ(cluster.record("sydney").fenced_by(), "power off");
    EXPECT_EQ(cluster.record("london").state(), record_state::serving);
}

TEST(ChangeOfPrimary, SaysWhenItDoesNotKnowWhetherItHasAsked) {
    for (const bool planned : {true, false}) {
        Cluster cluster;
        cluster.options.yes = true;
        cluster.options.fenced_by = "power is off";
        if (!planned) {
            cluster.statuses["london"] = nullptr;
        }
        auto& server = cluster.servers[planned ? "london" : "sydney"];
        server.loses_answers = true;
        EXPECT_EQ(planned ? cluster.plan() : cluster.claim(), ExitCode::Unknown);
        EXPECT_THAT(cluster.error.str(), HasSubstr("the same command again"));
        server.loses_answers = false;
        // It was asked for; again, it is watched.
        EXPECT_EQ(planned ? cluster.plan() : cluster.claim(), ExitCode::TimedOut);
        EXPECT_EQ(cluster.record(planned ? "london" : "sydney").sequence(), 1U);
    }
}

TEST(ChangeOfPrimary, NamesTheServerThatDoesNotAnswer) {
    Cluster cluster;
    cluster.servers["sydney"].down = true;
    EXPECT_EQ(cluster.claim(), ExitCode::Unreachable);
    EXPECT_THAT(cluster.error.str(), HasSubstr("the nats-server of sydney does not answer"));
}

TEST(LossView, SaysWhatIsKnownAndWhatIsNot) {
    const Json report = {{"old_primary", "london"},
                         {"unknown_since_us", nullptr},
                         {"last_event_us", 1'000'000},
                         {"known_lost", 2},
                         {"losses",
                          {{{"kind", "announced"},
                            {"store", "blobs/uploads"},
                            {"item", "a\x1b[2J"},
                            {"reason", "it never came"}},
                           {{"kind", "announced"},
                            {"store", "repositories/git"},
                            {"item", nullptr},
                            {"reason", "it never came"}}}}};
    const std::string text = render_loss(report);
    EXPECT_THAT(text, HasSubstr("unknown: what london wrote after ?"));
    EXPECT_THAT(text, HasSubstr("known:   2"));
    EXPECT_THAT(text, HasSubstr("repositories/git  anything in it"));
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_THAT(render_loss(Json()), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace antipode::cli
