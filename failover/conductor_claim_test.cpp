// A site that is whole becomes primary, though it is no secondary.
#include "failover/conductor.hpp"
#include "tests/support/two_conductors.hpp"

namespace antipode::failover {
namespace {

/// A switchover from london has passed the point of no return, and sydney is lost for good.
class Lost {
  public:
    /// sydney dies once it is in `last`; nullopt: before it has heard that the epoch is its own.
    explicit Lost(std::optional<State> last) {
        world.turn();
        world.ask(world.london, record_state::switchover, "sydney", "op");
        while (world.state_of(world.london_process) != State::Yielding) {
            world.turn_of_london();
            if (world.state_of(world.london_process) != State::Yielding) {
                world.turn_of_sydney();
            }
        }
        world.sydney.cannot_prepare = last == State::Preparing;
        while (last && world.state_of(world.sydney_process) != last) {
            world.turn_of_sydney();
        }
        handed_over = world.london.rows.size();
        if (last == State::Serving) {
            world.application();
            world.application();
        }
        lose_sydney();
    }
    void lose_sydney() {
        world.sydney_process.reset();
        world.sydney.open = false;
        world.sydney.server.down = true;
        world.clock.advance(std::chrono::seconds(10));
    }
    void promote_london(const std::string& word = "sydney burnt down") {
        ASSERT_TRUE(world.ask(world.london, record_state::promoting, "london", "promote", word));
    }
    bool london_is(State state, int turns = 60) {
        for (int i = 0; i < turns && world.state_of(world.london_process) != state; ++i) {
            world.turn();
        }
        return world.state_of(world.london_process) == state;
    }
    void bring_sydney_back() {
        world.sydney.cannot_prepare = false;
        world.sydney.server.down = false;
        world.clock.advance(std::chrono::seconds(10));
        world.start_sydney();
    }
    World world;
    size_t handed_over = 0;
};

TEST(ConductorThatYields, IsPromotedAgainWhenItsTargetIsLostWhereverItIsKilled) {
    for (const auto last :
         {std::optional<State>(), std::optional(State::Preparing), std::optional(State::Opening)}) {
        for (int at = 0;; ++at) {
            SCOPED_TRACE(std::string(last ? to_string(*last) : "before it knew") +
                         ", london dies at call " + std::to_string(at));
            Lost lost(last);
            World& world = lost.world;
            world.london_fault.calls = 0;
            world.london_fault.crash_at = at;
            ASSERT_NO_FATAL_FAILURE(lost.promote_london());
            ASSERT_TRUE(lost.london_is(State::Serving)) << world.name_of(world.london_process);
            world.turn();
            world.expect_all_rows(world.london);
            EXPECT_EQ(world.epoch_of(world.london), 3U);
            EXPECT_TRUE(world.london.is_secondary);
            ASSERT_FALSE(world.london.stands.empty());
            const Hands::Stand& stand = world.london.stands.back();
            EXPECT_EQ(stand.form, Form::Primary);
            EXPECT_EQ(stand.epoch, 1U);
            ASSERT_EQ(stand.handoff.size(), 1);
            EXPECT_EQ(stand.handoff[0].lsn(), lost.handed_over);
            if (at > 0 && !world.london_fault.crashed) {
                EXPECT_GT(at, 10);
                break;
            }
        }
    }
}

/// One that never heard of its epoch has nothing of it, and need not be fenced.
TEST(ConductorThatYields, IsFollowedByItsTargetOnceThatIsBack) {
    for (const auto last : {std::optional<State>(), std::optional(State::Preparing),
                            std::optional(State::Opening), std::optional(State::Serving)}) {
        for (int at = 0;; ++at) {
            SCOPED_TRACE(std::string(last ? to_string(*last) : "before it knew") +
                         ", sydney dies at call " + std::to_string(at));
            Lost lost(last);
            World& world = lost.world;
            ASSERT_NO_FATAL_FAILURE(lost.promote_london());
            ASSERT_TRUE(lost.london_is(State::Serving));
            world.turn();
            world.sydney_fault.calls = 0;
            world.sydney_fault.crash_at = at;
            lost.bring_sydney_back();
            if (last) {
                ASSERT_TRUE(world.settled(State::Serving, State::Quarantined));
                EXPECT_EQ(world.sydney.kept.size(), last == State::Serving ? 2U : 0U);
                EXPECT_EQ(world.sydney.kept_as,
                          last == State::Preparing ? Form::Secondary : Form::Primary);
                test::MemoryBucket(world.sydney.server).put(rejoin_key, "3");
            }
            ASSERT_TRUE(world.settled(State::Serving, State::Following));
            EXPECT_EQ(world.sydney.rows.size(), lost.handed_over);
            EXPECT_EQ(world.sydney.crossed, last ? 0U : 3U) << "it has all that there is";
            EXPECT_EQ(world.epoch_of(world.sydney), 3U);
            if (!world.sydney_fault.crashed && at > 0) {
                break;
            }
        }
    }
}

TEST(ConductorThatYields, SaysThatItCanBePromotedAndSinceWhenItHasNothing) {
    Lost lost(std::nullopt);
    World& world = lost.world;
    const TimePoint before = world.clock.now();
    world.turn();
    const ConductorStatus now = world.london_process->conductor.status();
    EXPECT_TRUE(now.may_claim);
    ASSERT_TRUE(now.handed_over_at);
    EXPECT_LT(*now.handed_over_at, before);
    EXPECT_EQ(now.problem, "waiting for sydney to prepare");
    EXPECT_EQ(now.next_step,
              "antipode status sydney; if it is lost for good: antipode promote london "
              "--fenced-by \"how sydney was switched off\"");
    // Also after a restart, which is no later end.
    world.london_process.reset();
    world.start_london();
    world.turn();
    EXPECT_EQ(world.london_process->conductor.status().handed_over_at, now.handed_over_at);
}

TEST(ConductorThatYields, YieldsOnWhenThePromotionIsGivenUp) {
    Lost lost(State::Preparing);
    World& world = lost.world;
    world.london.lease_waits = "the lease of sydney has not run out";
    ASSERT_NO_FATAL_FAILURE(lost.promote_london(""));
    for (int i = 0; i < 10; ++i) {
        world.turn();
    }
    EXPECT_EQ(world.state_of(world.london_process), State::Yielding);
    EXPECT_EQ(world.london_process->conductor.status().problem,
              "the lease of sydney has not run out");
    ASSERT_TRUE(world.ask(world.london, record_state::serving, "", "promote"));
    for (int i = 0; i < 10; ++i) {
        world.turn();
    }
    EXPECT_EQ(world.state_of(world.london_process), State::Yielding);
    EXPECT_EQ(world.epoch_of(world.london), 2U);
    EXPECT_TRUE(world.london.stands.empty());
    lost.bring_sydney_back();
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    world.turn();
    world.expect_all_rows(world.sydney);
}

TEST(ConductorThatYields, GoesOnOnceTheLeaseOfItsTargetHasRunOut) {
    Lost lost(State::Serving);
    World& world = lost.world;
    world.london.lease_proof = "the lease of sydney ran out";
    ASSERT_NO_FATAL_FAILURE(lost.promote_london(""));
    ASSERT_TRUE(lost.london_is(State::Serving));
    test::MemoryBucket bucket(world.london.server);
    const v1::EpochRecord record = read_epoch(bucket, "demo")->record;
    const v1::EpochStart* const start = start_of(record, 3);
    ASSERT_NE(start, nullptr);
    EXPECT_EQ(start->fenced_by(), "the lease of sydney ran out");
    EXPECT_EQ(start->from(), "sydney");
}

/// The same of a site that was fenced: a promoted one is lost before the old primary has rewound.
TEST(ConductorThatIsFenced, IsPromotedWhenThePrimaryIsLostUnlessItIsHalfRewound) {
    for (const State stands : {State::Fenced, State::Quarantined}) {
        SCOPED_TRACE(to_string(stands));
        Lost lost(State::Serving);
        World& world = lost.world;
        // It is looked for what only sydney has once london serves.
        const bool serves = stands == State::Quarantined;
        world.london.cannot_prepare = !serves;
        ASSERT_NO_FATAL_FAILURE(lost.promote_london());
        ASSERT_TRUE(lost.london_is(serves ? State::Serving : State::Preparing));
        lost.bring_sydney_back();
        for (int i = 0; i < 60 && world.state_of(world.sydney_process) != stands; ++i) {
            world.turn();
        }
        ASSERT_EQ(world.state_of(world.sydney_process), stands);
        // Now london is lost, with rows that sydney never got.
        const size_t rows = world.sydney.rows.size();
        world.london_process.reset();
        world.london.open = false;
        world.london.server.down = true;
        ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "second", "off"));
        for (int i = 0; i < 60 && world.state_of(world.sydney_process) != State::Serving; ++i) {
            world.turn_of_sydney();
        }
        ASSERT_EQ(world.state_of(world.sydney_process), State::Serving);
        EXPECT_EQ(world.epoch_of(world.sydney), 4U);
        EXPECT_TRUE(world.sydney.stands.back().handoff.empty());
        world.sydney.open = false;
        EXPECT_EQ(world.sydney.rows.size(), rows);
        world.london.server.down = false;
        world.clock.advance(std::chrono::seconds(10));
        world.start_london();
        world.sydney.open = true;
        ASSERT_TRUE(world.settled(State::Quarantined, State::Serving));
        test::MemoryBucket(world.london.server).put(rejoin_key, "4");
        ASSERT_TRUE(world.settled(State::Following, State::Serving));
    }
}

/// london and sydney claim epoch 1; an operator chooses london.
TEST(ConductorThatIsFenced, IsChosenOfTwoThatClaimOneEpochWhereverItIsKilled) {
    for (const bool sees_other : {true, false}) {
        for (int at = 0;; ++at) {
            SCOPED_TRACE("london dies at call " + std::to_string(at));
            World world;
            test::MemoryBucket bucket(world.sydney.server);
            const Epoch seen = *read_epoch(bucket, "demo");
            v1::EpochRecord claim = successor(seen.record, "somebody", world.clock.now());
            claim.set_primary("sydney");
            ASSERT_TRUE(change_epoch(bucket, seen, claim));
            ASSERT_TRUE(world.settled(State::Fenced, State::Fenced));
            world.sydney.server.down = !sees_other;
            world.clock.advance(std::chrono::seconds(10));
            world.london_fault.calls = 0;
            world.london_fault.crash_at = at;
            ASSERT_TRUE(world.ask(world.london, record_state::promoting, "london", "choose", "I"));
            for (int i = 0; i < 60 && world.state_of(world.london_process) != State::Serving; ++i) {
                world.turn();
            }
            ASSERT_EQ(world.state_of(world.london_process), State::Serving)
                << world.name_of(world.london_process);
            EXPECT_EQ(world.epoch_of(world.london), 2U);
            test::MemoryBucket own(world.london.server);
            EXPECT_EQ(start_of(read_epoch(own, "demo")->record, 2)->from(), "sydney");
            world.expect_all_rows(world.london);
            world.sydney.server.down = false;
            world.clock.advance(std::chrono::seconds(10));
            ASSERT_TRUE(world.settled(State::Serving, State::Quarantined));
            EXPECT_FALSE(world.sydney.open);
            test::MemoryBucket(world.sydney.server).put(rejoin_key, "2");
            ASSERT_TRUE(world.settled(State::Serving, State::Following));
            if (at > 0 && !world.london_fault.crashed) {
                EXPECT_GT(at, 10);
                break;
            }
        }
    }
}

/// It crosses over to sydney, which is lost: what it has of the epoch that ended is whole.
TEST(ConductorThatFinishes, IsPromotedWhereItStandsAndFinishesOnWhenThatIsGivenUp) {
    for (const bool gives_up : {true, false}) {
        SCOPED_TRACE(gives_up ? "given up" : "done");
        World world("paris");
        world.turn();
        world.ask(world.sydney, record_state::promoting, "sydney", "promote", "paris is off");
        world.london.rows = {};
        while (world.state_of(world.london_process) != State::Finishing) {
            world.turn();
        }
        world.sydney_process.reset();
        world.sydney.open = false;
        world.sydney.server.down = true;
        world.clock.advance(std::chrono::seconds(10));
        world.london.lease_waits = gives_up ? "the lease of sydney" : "";
        ASSERT_TRUE(world.ask(world.london, record_state::promoting, "london", "other",
                              gives_up ? "" : "sydney is off"));
        world.turn();
        if (gives_up) {
            EXPECT_EQ(world.state_of(world.london_process), State::Cutting);
            EXPECT_EQ(world.london_process->conductor.epoch(), 1U) << "which it has to finish";
            ASSERT_TRUE(world.ask(world.london, record_state::serving, "", "other"));
            world.turn();
            EXPECT_EQ(world.state_of(world.london_process), State::Finishing);
            world.sydney.server.down = false;
            world.clock.advance(std::chrono::seconds(10));
            world.start_sydney();
            ASSERT_TRUE(world.settled(State::Following, State::Serving));
            EXPECT_EQ(world.epoch_of(world.london), 2U);
            continue;
        }
        for (int i = 0; i < 60 && world.state_of(world.london_process) != State::Serving; ++i) {
            world.turn();
        }
        ASSERT_EQ(world.state_of(world.london_process), State::Serving);
        EXPECT_EQ(world.epoch_of(world.london), 3U);
        EXPECT_TRUE(world.london.is_secondary) << "of a log that is not sydney's";
    }
}

}  // namespace
}  // namespace antipode::failover
