// The old primary comes back.
#include "failover/conductor.hpp"
#include "tests/support/two_conductors.hpp"

namespace antipode::failover {
namespace {

/// london is lost with two rows that sydney never got; sydney is promoted, and london comes back.
class Return {
  public:
    explicit Return(int crash_at) {
        for (int i = 0; i < 3; ++i) {
            world.turn();
        }
        world.london_process.reset();
        world.london.open = false;
        world.london.server.down = true;
        // As the relay would have brought it.
        world.sydney.rows.assign(world.london.rows.begin(), world.london.rows.end() - 2);
        world.ask(world.sydney, record_state::promoting, "sydney", "promote", "it is off");
        const auto serves = [&] { return world.state_of(world.sydney_process) == State::Serving; };
        for (int i = 0; i < 50 && !serves(); ++i) {
            world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault, [] {});
            world.clock.advance(std::chrono::milliseconds(100));
        }
        world.london.server.down = false;
        world.clock.advance(std::chrono::seconds(10));
        world.london_fault.calls = 0;
        world.london_fault.crash_at = crash_at;
        world.start_london();
    }
    void let_it_follow() {
        test::MemoryBucket bucket(world.london.server);
        bucket.put(rejoin_key, "2");
    }
    /// Each row that was ever acknowledged is on sydney or in london's quarantine, once.
    void expect_all_rows_once() {
        std::vector<int> all = world.sydney.rows;
        all.insert(all.end(), world.london.kept.begin(), world.london.kept.end());
        std::sort(all.begin(), all.end());
        ASSERT_EQ(all.size(), static_cast<size_t>(world.written));
        for (int i = 0; i < world.written; ++i) {
            EXPECT_EQ(all[static_cast<size_t>(i)], i + 1);
        }
    }
    World world;
};

TEST(Conductor, KeepsWhatOnlyTheOldPrimaryHasAndThenFollowsTheNewOne) {
    for (int at = 0;; ++at) {
        SCOPED_TRACE("london dies at call " + std::to_string(at));
        Return again(at);
        World& world = again.world;
        ASSERT_TRUE(world.settled(State::Quarantined, State::Serving));
        for (int i = 0; i < 10; ++i) {
            world.turn();
        }
        EXPECT_EQ(world.state_of(world.london_process), State::Quarantined) << "nobody asked";
        EXPECT_EQ(world.london_process->conductor.status().next_step, "antipode rejoin london");
        again.let_it_follow();
        ASSERT_TRUE(world.settled(State::Following, State::Serving));
        EXPECT_EQ(world.london.kept.size(), 2U);
        again.expect_all_rows_once();
        // And back: it has what sydney has.
        world.ask(world.sydney, record_state::switchover, "london", "back");
        world.turn();
        ASSERT_TRUE(world.settled(State::Serving, State::Following));
        world.turn();
        EXPECT_EQ(world.epoch_of(world.london), 3U);
        EXPECT_EQ(world.london.rows.size() + 2, static_cast<size_t>(world.written));
        if (at > 0 && !world.london_fault.crashed) {
            EXPECT_GT(at, 10);
            break;
        }
    }
}

/// The new primary has handed over to a third site, and that back.
TEST(Conductor, SaysThatASiteThatMissedASecondChangeCanOnlyBeMadeNew) {
    Return again(0);
    World& world = again.world;
    ASSERT_TRUE(world.settled(State::Quarantined, State::Serving));
    world.sydney_process.reset();
    test::MemoryBucket bucket(world.sydney.server);
    const Epoch seen = *read_epoch(bucket, "demo");
    v1::EpochRecord next = successor(seen.record, "sydney", world.clock.now());
    next.clear_fenced_by();
    begin_epoch(next, 4, "sydney", seen.record.starts(), "tokyo");
    *next.mutable_starts() = seen.record.starts();
    next.set_state(record_state::serving);
    ASSERT_TRUE(change_epoch(bucket, seen, next));
    for (int i = 0; i < 5; ++i) {
        world.turn();
    }
    EXPECT_EQ(world.state_of(world.london_process), State::Fenced);
    EXPECT_NE(world.london_process->conductor.status().next_step.find("make it new"),
              std::string::npos)
        << world.london_process->conductor.status().next_step;
}

TEST(Conductor, ASwitchoverThatWasGivenUpMeanwhileKeepsNoOldPrimaryAway) {
    Return again(0);
    World& world = again.world;
    for (const char* state : {record_state::switchover, record_state::aborting}) {
        ASSERT_TRUE(world.ask(world.sydney, state, "london", "later"));
        for (int i = 0; i < 3; ++i) {
            world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault, [] {});
        }
    }
    ASSERT_EQ(world.state_of(world.sydney_process), State::Serving);
    ASSERT_TRUE(world.settled(State::Quarantined, State::Serving));
    EXPECT_EQ(world.london_process->conductor.status().operation, "") << "that was another one";
    again.let_it_follow();
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    EXPECT_EQ(world.london.kept.size(), 2U);
    again.expect_all_rows_once();
}

/// It has handed over, and hears of it only once the next switchover was given up.
TEST(Conductor, ASwitchoverThatWasGivenUpMeanwhileKeepsNobodyFromYielding) {
    World world;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.london_process) != State::Yielding) {
        world.turn();
    }
    world.london_process.reset();
    const auto turn_until_sydney_serves = [&] {
        for (int i = 0; i < 20; ++i) {
            world.turn();
        }
        ASSERT_EQ(world.state_of(world.sydney_process), State::Serving);
    };
    ASSERT_NO_FATAL_FAILURE(turn_until_sydney_serves());
    ASSERT_TRUE(world.ask(world.sydney, record_state::switchover, "london", "later"));
    ASSERT_TRUE(world.ask(world.sydney, record_state::aborting, "london", "later"));
    ASSERT_NO_FATAL_FAILURE(turn_until_sydney_serves());
    // What it wrote meanwhile came behind the end.
    world.sydney.open = false;
    world.start_london();
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
}

TEST(Conductor, KeepsAlsoWhatIsWrittenBehindTheFenceOfAnOldPrimary) {
    Return again(0);
    World& world = again.world;
    ASSERT_TRUE(world.settled(State::Quarantined, State::Serving));
    world.london.rows.push_back(++world.written);
    again.let_it_follow();
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    EXPECT_EQ(world.london.kept.size(), 3U);
    again.expect_all_rows_once();
}

TEST(Conductor, WaitsForWhatCannotBeReadUntilTheOperatorGoesOnWithoutIt) {
    Return again(0);
    World& world = again.world;
    world.london.unreadable = "broken";
    again.let_it_follow();
    for (int i = 0; i < 20; ++i) {
        world.turn();
    }
    EXPECT_EQ(world.state_of(world.london_process), State::Quarantining);
    EXPECT_EQ(world.london_process->conductor.status().problem, "something cannot be read");
    EXPECT_EQ(world.london_process->conductor.status().unreadable, "broken");
    for (const char* word : {"1 broken", "2", "2 ", "2 something else"}) {
        test::MemoryBucket(world.london.server).put(without_unreadable_key, word);
        world.turn();
        EXPECT_EQ(world.state_of(world.london_process), State::Quarantining) << word;
    }
    test::MemoryBucket(world.london.server).put(without_unreadable_key, "2 broken");
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    again.expect_all_rows_once();
}

TEST(Conductor, AWordForAnEarlierReturnLetsNobodyFollow) {
    Return again(0);
    test::MemoryBucket bucket(again.world.london.server);
    bucket.put(rejoin_key, "1");
    ASSERT_TRUE(again.world.settled(State::Quarantined, State::Serving));
    for (int i = 0; i < 10; ++i) {
        again.world.turn();
    }
    EXPECT_EQ(again.world.state_of(again.world.london_process), State::Quarantined);
}

}  // namespace
}  // namespace antipode::failover
