#include "apps/antipode/change_primary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipode/loss_view.hpp"
#include "tests/support/two_daemons.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
namespace record_state = failover::record_state;
using test::Cluster;
using test::Json;

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
}

TEST(Preflight, WarnsOfSitesThatFollowLater) {
    Cluster cluster;
    cluster.config.sites.push_back({"tokyo", "nats://c:1", "http://c:2"});
    Json& tokyo = cluster.statuses["tokyo"];
    tokyo = cluster.statuses["sydney"];
    tokyo["sites"][0]["site"] = "tokyo";
    EXPECT_TRUE(cluster.look().clear());
    EXPECT_TRUE(cluster.look().warnings.empty()) << cluster.look().warnings.front().what;
    const Json good = tokyo;
    const auto warning = [&](PreflightMode mode = PreflightMode::Switchover) {
        const Preflight found = cluster.look(mode);
        EXPECT_TRUE(found.clear());
        return found.warnings.size() == 1 ? found.warnings.front().what : std::string();
    };
    tokyo["stores"] = {{{"store", "database/app"}, {"state", "paused"}}};
    EXPECT_THAT(warning(), HasSubstr("tokyo database/app is paused; it follows once"));
    tokyo = good;
    tokyo["role"] = "changing";
    tokyo["failover"]["state"] = "finishing";
    EXPECT_THAT(warning(), HasSubstr("tokyo is finishing, and has not followed"));
    tokyo["failover"]["state"] = "quarantined";
    tokyo["failover"]["next_step"] = "antipode rejoin tokyo";
    EXPECT_THAT(cluster.blocker(), HasSubstr("tokyo is quarantined: behind a second change"));
    EXPECT_EQ(cluster.look().blockers.front().next_step, "antipode rejoin tokyo");
    tokyo = nullptr;
    EXPECT_THAT(warning(), HasSubstr("tokyo does not answer; it follows once it is back"));
    tokyo = good;
    tokyo["sites"][0]["recovery_point_us"] =
        good["sites"][0]["recovery_point_us"].get<int64_t>() + 1;
    cluster.statuses["london"] = nullptr;
    EXPECT_THAT(warning(PreflightMode::Failover), HasSubstr("tokyo has more than sydney"));
    tokyo["failover"]["state"] = "cutting";
    EXPECT_THAT(cluster.blocker(PreflightMode::Failover), HasSubstr("tokyo is being promoted"));
}

TEST(Preflight, WorksWithoutThePrimaryForAFailoverOnly) {
    Cluster cluster;
    EXPECT_THAT(cluster.blocker(PreflightMode::Failover), HasSubstr("london answers"));
    cluster.statuses["london"] = nullptr;
    EXPECT_THAT(cluster.blocker(), HasSubstr("the primary does not answer"));
    const Preflight found = cluster.look(PreflightMode::Failover);
    EXPECT_TRUE(found.clear());
    EXPECT_THAT(render(found, false), HasSubstr("LOST IF RUN NOW: not known: "));
    EXPECT_THAT(render(found, false), HasSubstr("last report of london: ?"));
    EXPECT_EQ(to_json(found)["lost_if_run_now"], nullptr);
    EXPECT_EQ(to_json(found)["events_to_apply"], 0);
}

TEST(Preflight, SaysWhatAPromotionWouldLoseIfItWereRunNow) {
    Cluster cluster;
    cluster.statuses["london"] = nullptr;
    cluster.statuses["sydney"]["sites"][0]["lag_seconds"] = 200.0;
    cluster.statuses["sydney"]["stores"] = {{{"store", "database/app"}, {"backlog_events", 60}},
                                            {{"store", "blobs/uploads"}, {"backlog_events", 3}}};
    cluster.losses["sydney"] = {{"schema", "antipode.expected-loss/1"},
                                {"known_lost", 18},
                                {"losses",
                                 {{{"kind", "announced"},
                                   {"store", "blobs/uploads"},
                                   {"item", "a\x1b.bin"},
                                   {"reason", "it never came"}}}},
                                {"not_applied_yet", 1},
                                {"unknown_since_us", 1'000'000},
                                {"unknown_seconds", 192.0},
                                {"last_marker_us", 2'000'000},
                                {"last_event_us", nullptr}};
    const Preflight found = cluster.look(PreflightMode::Failover);
    const std::string text = render(found, false);
    EXPECT_THAT(text, HasSubstr("apply on sydney all that came (63 events to go)"));
    EXPECT_THAT(text, HasSubstr("known:   18 changes that did not come here"));
    EXPECT_THAT(text, HasSubstr("announced  blobs/uploads  a?.bin: it never came"));
    EXPECT_THAT(text, HasSubstr("unknown: what london wrote in the last 3m12s, after 1970-01-01"));
    EXPECT_THAT(text, HasSubstr("here and not applied yet: 1 change;"));
    EXPECT_THAT(text,
                HasSubstr("last marker of london: 1970-01-01T00:00:02.000Z, newest event: ?"));
    EXPECT_THAT(text, HasSubstr("Run: antipode promote sydney --fenced-by \"how you know that "
                                "london takes no writes\" --accept-loss 5m --confirm sydney\n"));
    const Json json = to_json(found);
    EXPECT_EQ(json["lost_if_run_now"]["known_lost"], 18);
    EXPECT_EQ(json["events_to_apply"], 63);
    EXPECT_THAT(json["run"], HasSubstr("antipode promote sydney --fenced-by"));
    // What a store does not say is not 0, and a plan that is blocked has no command.
    cluster.statuses["sydney"]["stores"][0]["backlog_events"] = nullptr;
    cluster.losses["sydney"]["unknown_seconds"] = nullptr;
    cluster.statuses["sydney"]["failover"]["blockers"] = nullptr;
    const Preflight unsure = cluster.look(PreflightMode::Failover);
    EXPECT_THAT(render(unsure, false), HasSubstr("all that came (? events to go)"));
    EXPECT_THAT(render(unsure, false), HasSubstr("no proof of london has come here"));
    EXPECT_EQ(render(unsure, false).find("Run:"), std::string::npos);
    EXPECT_EQ(to_json(unsure)["run"], nullptr);
}

TEST(Preflight, NamesTheCommandThatFits) {
    Cluster cluster;
    EXPECT_THAT(render(cluster.look(), false),
                HasSubstr("Run: antipode switchover --to sydney --confirm sydney\n"));
    cluster.statuses["london"] = nullptr;
    cluster.config.witness = Config::Witness{"nats://w:1", {}};
    cluster.statuses["sydney"]["lease"] = {{"wait_seconds", 12.5}, {"obstacle", ""}};
    EXPECT_EQ(cluster.look(PreflightMode::Failover).command(),
              "antipode promote sydney --accept-loss 2m --confirm sydney");
    cluster.statuses["sydney"]["sites"][0]["lag_seconds"] = nullptr;
    EXPECT_EQ(cluster.look(PreflightMode::Failover).command(),
              "antipode promote sydney --confirm sydney");
}

/// london has handed over to sydney, which is lost.
TEST(Preflight, LetsASiteThatIsWholeBePromotedAndSaysWhatThatCosts) {
    Cluster cluster;
    const auto look = [&] {
        return look_before(cluster.config, cluster.fetch, "london", PreflightMode::Failover);
    };
    cluster.statuses["sydney"] = nullptr;
    Json& london = cluster.statuses["london"];
    london["role"] = "changing";
    london["failover"]["primary"] = "sydney";
    london["failover"]["state"] = "yielding";
    ASSERT_FALSE(look().clear()) << "an older daemon does not say whether it is whole";
    london["failover"]["may_claim"] = false;
    EXPECT_FALSE(look().clear());
    london["failover"]["may_claim"] = true;
    london["failover"]["handed_over_us"] = to_microseconds(cluster.clock.now());
    london["failover"]["blockers"] = nullptr;
    EXPECT_TRUE(look().clear()) << look().blockers.front().what;
    EXPECT_EQ(look().recovery_point, cluster.clock.now());
    EXPECT_THAT(look().warnings.front().what,
                HasSubstr("if sydney took writes since then, they are lost"));
    london["failover"]["handed_over_us"] = nullptr;
    for (const char* state : {"fenced", "finishing"}) {
        london["failover"]["state"] = state;
        EXPECT_TRUE(look().clear());
        EXPECT_THAT(look().warnings.front().what,
                    HasSubstr("all that sydney wrote as the primary is lost"));
        EXPECT_FALSE(look().recovery_point);
    }
    EXPECT_FALSE(
        look_before(cluster.config, cluster.fetch, "london", PreflightMode::Switchover).clear());
}

TEST(Preflight, ATargetThatAnswersMayStillOpen) {
    Cluster cluster;
    Json& london = cluster.statuses["london"];
    london["failover"]["may_claim"] = true;
    for (const char* site : {"london", "sydney"}) {
        cluster.statuses[site]["failover"]["primary"] = "sydney";
    }
    cluster.statuses["sydney"]["failover"]["state"] = "preparing";
    const Preflight found =
        look_before(cluster.config, cluster.fetch, "london", PreflightMode::Failover);
    ASSERT_FALSE(found.clear());
    EXPECT_EQ(found.blockers.front().what,
              "sydney answers, and is preparing: it may open for writes");
}

TEST(Preflight, OfTwoThatClaimOneEpochEachCanBeChosen) {
    Cluster cluster;
    for (const char* site : {"london", "sydney"}) {
        Json& status = cluster.statuses[site];
        status["role"] = "fenced";
        status["failover"]["state"] = "fenced";
        status["failover"]["primary"] = site;
        status["failover"]["may_claim"] = true;
    }
    for (const char* site : {"london", "sydney"}) {
        const Preflight found =
            look_before(cluster.config, cluster.fetch, site, PreflightMode::Failover);
        EXPECT_TRUE(found.clear()) << found.blockers.front().what;
        EXPECT_NE(found.from, site);
    }
    cluster.statuses["london"] = nullptr;
    EXPECT_TRUE(cluster.look(PreflightMode::Failover).clear());
    EXPECT_EQ(cluster.look(PreflightMode::Failover).from, "");
    cluster.statuses["sydney"]["failover"]["may_claim"] = false;
    EXPECT_EQ(cluster.blocker(PreflightMode::Failover), "sydney is the primary already");
}

TEST(Preflight, ALeaseThatEndedIsNoFenceThatHolds) {
    Cluster cluster;
    cluster.statuses["london"] = cluster.status("london", "primary", "degraded", "serving");
    Json& lease = cluster.statuses["london"]["lease"];
    const auto warning = [&] {
        const Preflight found = cluster.look(PreflightMode::Failover);
        EXPECT_TRUE(found.clear());
        return found.warnings.empty() ? std::string() : found.warnings.front().what;
    };
    lease = {{"holds", false}};
    EXPECT_THAT(warning(), HasSubstr("whether it takes no writes is not known"));
    lease["fencer"] = {{"runs", false}, {"state", ""}, {"problem", ""}};
    EXPECT_THAT(warning(), HasSubstr("not known: antipode-fencer does not run there"));
    lease["fencer"] = {{"runs", true}, {"state", "closing"}, {"problem", ""}};
    EXPECT_THAT(warning(), HasSubstr("is not known"));
    lease["fencer"]["problem"] = "fence_command failed";
    EXPECT_THAT(cluster.blocker(PreflightMode::Failover),
                HasSubstr("its fences do not close: fence_command failed"));
    EXPECT_THAT(cluster.look(PreflightMode::Failover).blockers.front().next_step,
                HasSubstr("switch that machine off"));
    lease["fencer"] = {{"runs", true}, {"state", "closed"}, {"problem", ""}};
    EXPECT_THAT(warning(), HasSubstr("holds no lease and takes no writes"));
    // Its daemon tries in the place of a fencer.
    lease["fencer"] = {{"runs", false}, {"state", ""}, {"problem", ""}};
    cluster.statuses["london"]["workers"] = {{{"name", "lease guard"}, {"problem", "no server"}}};
    EXPECT_THAT(cluster.blocker(PreflightMode::Failover), HasSubstr("do not close: no server"));
    lease["closed"] = true;
    EXPECT_THAT(warning(), HasSubstr("holds no lease and takes no writes"));
}

TEST(Preflight, ASwitchoverNeedsATargetThatCanHoldTheLease) {
    Cluster cluster;
    const auto place = [](const Json& site, const std::string& problem) {
        return Json{{"place", site.is_null() ? Json("the witness nats://w:1") : site},
                    {"site", site},
                    {"holder", "london"},
                    {"epoch", 1},
                    {"problem", problem},
                    {"next_step", problem.empty() ? "" : "start it"}};
    };
    const auto warning = [&] {
        const Preflight found = cluster.look();
        EXPECT_TRUE(found.clear());
        return found.warnings.empty() ? std::string() : found.warnings.front().what;
    };
    cluster.statuses["london"]["lease"] = {{"holds", true}};
    EXPECT_THAT(warning(), HasSubstr("sydney would hold no lease"));
    Json& lease = cluster.statuses["sydney"]["lease"];
    lease = {{"fencer", {{"runs", true}, {"state", "idle"}, {"problem", ""}}},
             {"places", {place(Json(), ""), place("sydney", ""), place("london", "")}}};
    EXPECT_EQ(warning(), "");
    lease["places"][0] = place(Json(), "connection refused");
    EXPECT_THAT(warning(), HasSubstr("by the promises of all other sites alone: the witness "
                                     "nats://w:1: connection refused"));
    EXPECT_EQ(cluster.look().warnings.front().next_step, "start it");
    lease["places"][2] = place("london", "timeout");
    EXPECT_THAT(cluster.blocker(), HasSubstr("sydney could not hold the lease"));
    EXPECT_THAT(cluster.blocker(), HasSubstr("refused; london: timeout"));
    lease["places"][0] = place(Json(), "");
    EXPECT_THAT(warning(), HasSubstr("at the witness alone: london: timeout"));
    // Its own bucket it does not need.
    lease["places"] = {place(Json(), ""), place("sydney", "timeout"), place("london", "")};
    EXPECT_EQ(warning(), "");
    lease["places"][0]["holder"] = "tokyo";
    lease["places"][0]["epoch"] = 2;
    EXPECT_THAT(warning(), HasSubstr("tokyo has claimed the lease"));
    // One that says nothing of the other sites.
    lease["places"] = {place(Json(), "timeout")};
    EXPECT_THAT(warning(), HasSubstr("does not say whether it reaches them"));
    lease["places"] = {place(Json(), "")};
    lease["fencer"]["problem"] = "nothing stops writes to blobs/uploads";
    EXPECT_THAT(warning(), HasSubstr("fencer on sydney: nothing stops writes"));
    lease["fencer"] = {{"runs", false}, {"state", ""}, {"problem", ""}};
    EXPECT_THAT(warning(), HasSubstr("antipode-fencer does not run on sydney"));
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

TEST(ChangeOfPrimary, WaitsAMomentForWhatIsSentAgain) {
    Cluster cluster;
    cluster.options.yes = true;
    Json& parked = cluster.statuses["sydney"]["sites"][0]["parked"];
    parked = 1;
    int looks = 0;
    cluster.options.pause = [&] {
        cluster.clock.advance(std::chrono::seconds(1));
        ++looks;
    };
    EXPECT_EQ(cluster.plan(), ExitCode::Blocked) << "it goes on to fail";
    EXPECT_THAT(cluster.out.str(), HasSubstr("1 item failed on sydney: waits"));
    EXPECT_EQ(looks, 15);
    cluster.options.pause = [&] {
        cluster.clock.advance(std::chrono::seconds(1));
        parked = 0;
    };
    EXPECT_EQ(cluster.plan(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_EQ(cluster.record("london").state(), record_state::switchover);
    // Other blockers do not pass by themselves.
    Cluster other;
    other.options.yes = true;
    other.options.pause = [] { FAIL() << "it waits"; };
    other.statuses["sydney"]["sites"][0]["parked"] = 1;
    other.statuses["sydney"]["sites"][0]["recovery_point_us"] = nullptr;
    EXPECT_EQ(other.plan(), ExitCode::Blocked);
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
    const v1::EpochRecord word = cluster.record("london");
    EXPECT_EQ(cluster.plan(), ExitCode::Ok) << "it is asked for already";
    EXPECT_EQ(cluster.record("london").SerializeAsString(), word.SerializeAsString());
}

TEST(ChangeOfPrimary, APromotionNeedsTheOperatorsProof) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
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

TEST(ChangeOfPrimary, APromotionIsConfirmedByTheSitesNameOnly) {
    Cluster cluster;
    cluster.options.yes = true;
    cluster.options.fenced_by = "power off";
    cluster.statuses["london"] = nullptr;
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    EXPECT_THAT(cluster.error.str(), HasSubstr("--yes does not answer for what may be lost"));
    EXPECT_THAT(cluster.error.str(), HasSubstr("--confirm sydney"));
    cluster.options.confirmed = "london";
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    EXPECT_EQ(cluster.record("sydney").state(), record_state::serving) << "it was begun";
    cluster.options.read_line = [] { return "sydney"; };
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_EQ(cluster.record("sydney").state(), record_state::promoting);
}

/// It serves, dies, and is started again before it could say what was lost.
TEST(ChangeOfPrimary, APromotionWaitsForTheLossReport) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    cluster.options.fenced_by = "power off";
    cluster.statuses["london"] = nullptr;
    int pauses = 0;
    cluster.options.pause = [&] {
        cluster.clock.advance(std::chrono::seconds(60));
        if (++pauses == 1) {
            test::MemoryBucket bucket(cluster.servers["sydney"]);
            const failover::Epoch seen = *failover::read_epoch(bucket, "demo");
            auto record =
                failover::successor(seen.record, "antipoded on sydney", cluster.clock.now());
            failover::begin_epoch(record, 2, "sydney", {});
            record.set_state(record_state::serving);
            failover::change_epoch(bucket, seen, record);
            cluster.statuses["sydney"] = nullptr;
        } else if (pauses == 3) {
            cluster.statuses["sydney"] = {{"schema", "antipode.loss/1"}, {"losses", Json::array()}};
        }
    };
    EXPECT_EQ(cluster.claim(), ExitCode::Ok) << cluster.error.str();
    EXPECT_THAT(cluster.out.str(), HasSubstr("sydney is the primary of epoch 2"));
}

TEST(ChangeOfPrimary, APromotionSaysWhoWasFaster) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    cluster.options.fenced_by = "power off";
    cluster.statuses["london"] = nullptr;
    cluster.options.pause = [&] {
        test::MemoryBucket bucket(cluster.servers["sydney"]);
        const failover::Epoch seen = *failover::read_epoch(bucket, "demo");
        auto record = failover::successor(seen.record, "antipoded on tokyo", cluster.clock.now());
        failover::begin_epoch(record, 2, "tokyo", {});
        failover::change_epoch(bucket, seen, record);
    };
    EXPECT_EQ(cluster.claim(), ExitCode::Conflict);
    EXPECT_THAT(cluster.error.str(),
                HasSubstr("tokyo was promoted meanwhile, and is the primary of epoch 2"));
}

TEST(ChangeOfPrimary, APromotionUnderALeaseNeedsAWordOnlyWhereTheLeaseSaysNothing) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    cluster.statuses["london"] = nullptr;
    cluster.config.witness = Config::Witness{"nats://w:1", {}};
    Json& lease = cluster.statuses["sydney"]["lease"];
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    EXPECT_THAT(cluster.error.str(), HasSubstr("sydney has not seen the lease yet"));
    lease = {{"wait_seconds", 12.5}, {"obstacle", "the witness does not answer"}};
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    EXPECT_THAT(cluster.error.str(), HasSubstr("is off: the witness does not answer"));
    EXPECT_THAT(render(cluster.look(PreflightMode::Failover), false),
                HasSubstr("on your word only (--fenced-by), the witness does not answer"));
    lease["obstacle"] = "";
    // It answers, and cannot be handed over to anybody: nor does it write.
    cluster.statuses["london"] = cluster.status("london", "primary", "degraded", "serving");
    EXPECT_FALSE(cluster.look(PreflightMode::Failover).clear());
    cluster.statuses["london"]["lease"] = {{"holds", false}, {"closed", true}};
    EXPECT_TRUE(cluster.look(PreflightMode::Failover).clear());
    EXPECT_THAT(cluster.look(PreflightMode::Failover).warnings.front().what,
                HasSubstr("london answers, but holds no lease and takes no writes"));
    cluster.statuses["london"] = nullptr;
    EXPECT_THAT(render(cluster.look(PreflightMode::Failover), false),
                HasSubstr("by its lease, which runs out in 12s"));
    cluster.options.accepted_loss = "5m";
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_EQ(cluster.record("sydney").state(), record_state::promoting);
    EXPECT_EQ(cluster.record("sydney").fenced_by(), "");
    EXPECT_EQ(cluster.record("sydney").accepted_loss(), "5m");
    // It waits; the operator need not.
    cluster.options.fenced_by = "power off";
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_THAT(cluster.record("sydney").fenced_by(), HasSubstr("power off; a loss of up to 5m"));
}

TEST(ChangeOfPrimary, LosesNoMoreThanWasAccepted) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    cluster.options.fenced_by = "power off";
    cluster.statuses["london"] = nullptr;
    const Json good = cluster.statuses["sydney"];
    const std::string before = cluster.record("sydney").SerializeAsString();
    cluster.clock.advance(std::chrono::seconds(90));
    cluster.options.accepted_loss = "a lot";
    EXPECT_EQ(cluster.claim(), ExitCode::Usage);
    cluster.options.accepted_loss = "60s";
    EXPECT_EQ(cluster.claim(), ExitCode::Blocked);
    EXPECT_THAT(cluster.error.str(),
                HasSubstr("what london wrote in the last 1m30s may be lost, and 60s was accepted"));
    cluster.options.dry_run = true;
    EXPECT_EQ(cluster.claim(), ExitCode::Blocked) << "a dry run says what would be";
    cluster.options.dry_run = false;
    cluster.options.accepted_loss = "5m";
    cluster.statuses["sydney"]["sites"][0]["recovery_point_us"] = nullptr;
    EXPECT_EQ(cluster.claim(), ExitCode::Blocked);
    EXPECT_THAT(cluster.error.str(), HasSubstr("is not known, so that it cannot be accepted"));
    EXPECT_EQ(cluster.record("sydney").SerializeAsString(), before);
    cluster.statuses["sydney"] = good;
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    EXPECT_THAT(cluster.record("sydney").fenced_by(),
                HasSubstr("power off; a loss of up to 5m was accepted"));
}

TEST(ChangeOfPrimary, AbortOfASwitchoverLeavesAPromotionAlone) {
    Cluster cluster;
    cluster.options.confirmed = "sydney";
    cluster.options.fenced_by = "power off";
    cluster.statuses["london"] = nullptr;
    EXPECT_EQ(cluster.claim(), ExitCode::TimedOut) << cluster.error.str();
    const v1::EpochRecord asked = cluster.record("sydney");
    ASSERT_EQ(asked.state(), record_state::promoting);
    cluster.options.abort = true;
    for (const bool off : {false, true}) {
        cluster.servers["london"].down = off;
        cluster.error.str("");
        EXPECT_EQ(cluster.plan(), ExitCode::Conflict);
        EXPECT_THAT(cluster.error.str(),
                    HasSubstr("Try: antipode op abort " + asked.operation_id()));
        EXPECT_EQ(cluster.record("sydney").SerializeAsString(), asked.SerializeAsString());
    }
}

TEST(ChangeOfPrimary, SaysWhenItDoesNotKnowWhetherItHasAsked) {
    for (const bool planned : {true, false}) {
        Cluster cluster;
        cluster.options.confirmed = "sydney";
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
                            {"reason", "it never came"}}}},
                         {"sequences",
                          {{{"store", "database/app"},
                            {"headroom", 1000},
                            {"moved", 12},
                            {"left", {{{"sequence", "public.s"}, {"why", "it ends before"}}}},
                            {"left_count", 1}}}}};
    const std::string text = render_loss(report);
    EXPECT_THAT(text, HasSubstr("database/app: 12 were moved on by 1000 numbers"));
    EXPECT_THAT(text, HasSubstr("left where it was: public.s: it ends before"));
    EXPECT_THAT(text, HasSubstr("unknown: what london wrote after ?"));
    EXPECT_THAT(text, HasSubstr("known:   2"));
    EXPECT_THAT(text, HasSubstr("repositories/git  anything in it"));
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_THAT(render_loss(Json()), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace antipode::cli
