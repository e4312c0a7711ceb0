#include "apps/antipode/operation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "failover/machine.hpp"
#include "tests/support/two_daemons.hpp"

namespace antipode::cli {
namespace {

using failover::State;
using test::Cluster;
using test::Json;
using testing::HasSubstr;
namespace record_state = failover::record_state;

/// The daemons' journals are what the test writes into them.
struct Op : Cluster {
    std::map<std::string, std::string> journals;
    OperationOptions op;
    int64_t time = 1'600'000'000'000'000;
    Fetch fetch_all = [this](const std::string& url, std::chrono::milliseconds timeout) -> Answer {
        const Answer status = fetch(url, timeout);
        const bool london = url.find(":8840") != std::string::npos;
        return url.ends_with("/v1/journal") ? Answer{200, journals[london ? "london" : "sydney"]}
                                            : status;
    };

    Op() {
        op.timeout_seconds = 200;
        op.pause = [this] { clock.advance(std::chrono::seconds(60)); };
    }
    void step(const std::string& site, State state, uint64_t epoch, const std::string& id,
              const std::string& event = "done", const std::string& detail = {}) {
        journals[site] += Json{{"number", 1},
                               {"at_us", time += 1000},
                               {"epoch", epoch},
                               {"operation", id},
                               {"state", failover::to_string(state)},
                               {"event", event},
                               {"detail", detail}}
                              .dump() +
                          "\n";
        statuses[site]["failover"]["state"] = failover::to_string(state);
        statuses[site]["failover"]["operation"] = id;
    }
    void put(const std::string& site, const std::function<void(v1::EpochRecord&)>& edit) {
        antipode::test::MemoryBucket bucket(servers[site]);
        const auto seen = failover::read_epoch(bucket, "demo");
        v1::EpochRecord record = failover::successor(seen->record, "somebody", clock.now());
        edit(record);
        ASSERT_TRUE(failover::change_epoch(bucket, *seen, record));
    }
    void ask() {
        put("london", [](v1::EpochRecord& record) {
            record.set_state(record_state::switchover);
            record.set_target("sydney");
            record.set_operation_id("switchover-1");
        });
    }
    ExitCode abort() {
        return code_of([&] { return abort_operation(config, open, fetch_all, clock, output, op); });
    }
    ExitCode wait() {
        return code_of(
            [&] { return wait_for_operation(config, open, fetch_all, clock, output, op); });
    }
    ExitCode resume() {
        return code_of(
            [&] { return resume_operation(config, open, fetch_all, clock, output, op); });
    }
    std::string word(const std::string& site) {
        antipode::test::MemoryBucket bucket(servers[site]);
        const auto entry = bucket.get(failover::resume_key);
        return entry ? entry->value : std::string();
    }
};

TEST(OperationAbort, AsksByCompareAndSetAndWaitsUntilThePrimaryServes) {
    Op world;
    EXPECT_EQ(world.abort(), ExitCode::Failed) << "nothing runs";
    world.ask();
    world.op.operation = "switchover-9";
    EXPECT_EQ(world.abort(), ExitCode::Failed);
    EXPECT_THAT(world.error.str(), HasSubstr("switchover-9 does not run, but switchover-1 does"));
    EXPECT_EQ(world.record("london").state(), record_state::switchover);
    world.op.operation = "switchover-1";
    world.step("london", State::RollingBack, 1, "switchover-1", "aborted");
    EXPECT_EQ(world.abort(), ExitCode::TimedOut) << world.error.str();
    EXPECT_EQ(world.record("london").state(), record_state::aborting);
    EXPECT_THAT(world.error.str(), HasSubstr("antipode op wait switchover-1"));
    // The daemon writes it once the fences are gone.
    int looks = 0;
    world.op.pause = [&] {
        if (++looks == 2) {
            world.put("london",
                      [](v1::EpochRecord& record) { record.set_state(record_state::serving); });
        } else if (looks == 3) {
            world.step("london", State::Serving, 1, "switchover-1");
        }
    };
    EXPECT_EQ(world.abort(), ExitCode::Ok) << world.error.str();
    EXPECT_EQ(looks, 3);
    EXPECT_THAT(world.out.str(), HasSubstr("switchover-1 is given up"));
}

TEST(OperationAbort, IsRefusedBehindThePointOfNoReturn) {
    Op world;
    world.ask();
    world.put("london", [](v1::EpochRecord& record) {
        record.set_epoch(2);
        record.set_primary("sydney");
        record.set_state(record_state::opening);
        record.clear_target();
    });
    {
        antipode::test::MemoryBucket bucket(world.servers["sydney"]);
        ASSERT_TRUE(failover::adopt_epoch(bucket, "demo", world.record("london")));
    }
    const std::string before = world.record("sydney").SerializeAsString();
    EXPECT_EQ(world.abort(), ExitCode::Blocked);
    EXPECT_THAT(world.error.str(), HasSubstr("has passed the point of no return: sydney becomes"));
    EXPECT_THAT(world.error.str(), HasSubstr("Try: antipode op wait switchover-1"));
    EXPECT_EQ(world.record("sydney").SerializeAsString(), before);
}

TEST(OperationAbort, SaysWhenTheWordCameTooLate) {
    Op world;
    world.ask();
    world.op.pause = [&] {
        if (world.record("london").epoch() == 1) {
            world.put("london", [](v1::EpochRecord& record) {
                record.set_epoch(2);
                record.set_primary("sydney");
            });
        }
    };
    EXPECT_EQ(world.abort(), ExitCode::Blocked);
    EXPECT_THAT(world.error.str(), HasSubstr("the word came too late"));
}

TEST(OperationAbort, NamesTheDaemonThatHasToAct) {
    Op world;
    world.ask();
    world.statuses["london"] = nullptr;
    EXPECT_EQ(world.abort(), ExitCode::Unreachable);
    EXPECT_EQ(world.record("london").state(), record_state::aborting) << "it hears it later";
    EXPECT_THAT(world.error.str(), HasSubstr("the antipoded of london does not answer"));
    Op cut_off;
    cut_off.ask();
    cut_off.servers["london"].down = true;
    EXPECT_EQ(cut_off.abort(), ExitCode::Unreachable);
    EXPECT_THAT(cut_off.error.str(), HasSubstr("the nats-server of london does not answer"));
}

TEST(OperationAbort, GivesUpAPromotionUntilItsCutIsWritten) {
    for (const bool cut : {false, true}) {
        Op world;
        world.statuses["london"] = nullptr;
        world.servers["london"].down = true;
        world.put("sydney", [cut](v1::EpochRecord& record) {
            record.set_state(record_state::promoting);
            record.set_target("sydney");
            record.set_operation_id("promote-1");
            record.set_fenced_by("power is off");
            if (cut) {
                record.add_cuts()->set_lsn(1);
            }
        });
        EXPECT_EQ(world.abort(), cut ? ExitCode::Blocked : ExitCode::Ok) << world.error.str();
        EXPECT_EQ(world.record("sydney").state(),
                  cut ? record_state::promoting : record_state::serving);
        EXPECT_EQ(world.record("sydney").primary(), "london");
        EXPECT_EQ(world.record("sydney").problem(), cut ? "" : "the operator has given it up");
    }
}

TEST(OperationWait, EndsAsTheOperationDoes) {
    Op world;
    EXPECT_EQ(world.wait(), ExitCode::Usage) << "the sites remember none";
    world.ask();
    EXPECT_EQ(world.wait(), ExitCode::TimedOut) << "no daemon has begun it";
    world.step("london", State::Fencing, 1, "switchover-1", "asked", "sydney");
    world.statuses["london"]["failover"]["problem"] = "fence_command failed";
    world.statuses["london"]["failover"]["next_step"] = "run it by hand";
    EXPECT_EQ(world.wait(), ExitCode::TimedOut);
    EXPECT_THAT(world.error.str(), HasSubstr("london: fence_command failed Try: run it by hand; "
                                             "then antipode op resume switchover-1"));
    world.step("london", State::Yielding, 2, "switchover-1");
    world.step("sydney", State::Preparing, 2, "switchover-1", "named");
    world.step("sydney", State::Serving, 2, "switchover-1");
    EXPECT_EQ(world.wait(), ExitCode::TimedOut) << "london does not follow yet";
    world.step("london", State::Following, 2, "switchover-1");
    EXPECT_EQ(world.wait(), ExitCode::Ok) << world.error.str();
    EXPECT_THAT(world.out.str(), HasSubstr("switchover-1: sydney is the primary of epoch 2"));
    // One that is over is over, whatever comes behind it.
    world.step("sydney", State::Fencing, 2, "switchover-2", "asked", "london");
    world.op.operation = "switchover-1";
    EXPECT_EQ(world.wait(), ExitCode::Ok) << world.error.str();
    world.op.operation = "switchover-9";
    EXPECT_EQ(world.wait(), ExitCode::Usage);
}

TEST(OperationWait, SaysThatItWasGivenUpAlsoInJson) {
    Op world;
    world.output.format = Format::Json;
    world.step("london", State::Fencing, 1, "switchover-1", "asked", "sydney");
    world.step("london", State::RollingBack, 1, "switchover-1", "failed", "it took too long");
    EXPECT_EQ(world.wait(), ExitCode::TimedOut) << "the fences are not lifted yet";
    world.step("london", State::Serving, 1, "switchover-1");
    EXPECT_EQ(world.wait(), ExitCode::Failed);
    EXPECT_THAT(world.error.str(), HasSubstr("given up: it took too long Try: antipode preflight "
                                             "--to sydney"));
    const Json said = Json::parse(world.out.str());
    EXPECT_EQ(said["schema"], "antipode.operation/1");
    EXPECT_EQ(said["outcome"], "given-up");
}

TEST(OperationWait, DoesNotWaitForThePrimaryThatAPromotionIsAboutNorForgetItInASwitchover) {
    Op world;
    world.statuses["london"] = nullptr;
    world.step("sydney", State::Cutting, 1, "promote-1", "asked-claim");
    world.step("sydney", State::Preparing, 2, "promote-1");
    world.step("sydney", State::Serving, 2, "promote-1");
    EXPECT_EQ(world.wait(), ExitCode::Ok) << world.error.str();
    world.step("sydney", State::CatchingUp, 2, "switchover-2", "handoff-seen");
    world.step("sydney", State::Preparing, 3, "switchover-2", "named");
    world.step("sydney", State::Serving, 3, "switchover-2");
    EXPECT_EQ(world.wait(), ExitCode::Unreachable);
    EXPECT_THAT(world.error.str(), HasSubstr("the antipoded of london does not answer"));
}

TEST(OperationResume, TellsTheSiteWhoseStepHasFailed) {
    Op world;
    world.step("sydney", State::Preparing, 2, "switchover-1", "named");
    world.statuses["sydney"]["failover"]["epoch"] = 2;
    EXPECT_EQ(world.resume(), ExitCode::TimedOut);
    EXPECT_EQ(world.word("sydney"), "") << "nothing has failed";
    world.statuses["sydney"]["failover"]["problem"] = "before_open_command failed";
    EXPECT_EQ(world.resume(), ExitCode::TimedOut);
    const std::string word = world.word("sydney");
    EXPECT_THAT(word, testing::StartsWith("2 "));
    EXPECT_EQ(world.word("london"), "");
    EXPECT_EQ(world.resume(), ExitCode::TimedOut);
    EXPECT_NE(world.word("sydney"), word) << "the second word would not be heard";
    world.step("sydney", State::Serving, 2, "switchover-1");
    EXPECT_EQ(world.resume(), ExitCode::Ok) << world.error.str();
}

}  // namespace
}  // namespace antipode::cli
