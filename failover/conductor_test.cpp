#include "failover/conductor.hpp"

#include "tests/support/two_conductors.hpp"

namespace antipode::failover {
namespace {

TEST(Conductor, HandsOverAndBackAgainWithoutLosingAWrite) {
    World world;
    for (int round = 0; round < 3; ++round) {
        ASSERT_TRUE(world.ask(world.london, record_state::switchover, "sydney",
                              "there-" + std::to_string(round)));
        world.turn();
        ASSERT_TRUE(world.settled(State::Following, State::Serving));
        world.turn();
        world.expect_all_rows(world.sydney);
        ASSERT_TRUE(world.ask(world.sydney, record_state::switchover, "london",
                              "back-" + std::to_string(round)));
        world.turn();
        ASSERT_TRUE(world.settled(State::Serving, State::Following));
        world.turn();
        world.expect_all_rows(world.london);
    }
    EXPECT_EQ(world.epoch_of(world.london), 7U);
}

/// Then it looks less often.
TEST(Conductor, IsQuietOnceItHasRestedAndEverySiteAnswers) {
    World world;
    const auto both = [&](bool quiet) {
        world.turn();
        return world.london_process->conductor.is_quiet() == quiet &&
               world.sydney_process->conductor.is_quiet() == quiet;
    };
    EXPECT_TRUE(both(false)) << "it has just begun";
    world.clock.advance(std::chrono::seconds(11));
    EXPECT_TRUE(both(true));
    world.sydney.server.down = true;
    world.turn();
    EXPECT_FALSE(world.london_process->conductor.is_quiet()) << "sydney does not answer";
    world.sydney.server.down = false;
    world.clock.advance(std::chrono::seconds(3));
    EXPECT_TRUE(both(true));
    world.ask(world.london, record_state::switchover, "sydney", "op");
    EXPECT_TRUE(both(false));
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    EXPECT_TRUE(both(false)) << "others are still to see how it went";
    world.clock.advance(std::chrono::seconds(11));
    EXPECT_TRUE(both(true));
}

TEST(Conductor, GoesOnWhereverOneOfTheProcessesIsKilled) {
    int crashes = 0;
    for (const bool kill_london : {true, false}) {
        for (int at = 1;; ++at) {
            SCOPED_TRACE((kill_london ? "london" : "sydney") + std::string(" dies at call ") +
                         std::to_string(at));
            World world;
            Fault& fault = kill_london ? world.london_fault : world.sydney_fault;
            fault.calls = 0;
            fault.crash_at = at;
            ASSERT_TRUE(world.ask(world.london, record_state::switchover, "sydney", "op"));
            world.turn();
            ASSERT_TRUE(world.settled(State::Following, State::Serving));
            world.turn();
            world.expect_all_rows(world.sydney);
            EXPECT_EQ(world.epoch_of(world.sydney), 2U);
            if (!fault.crashed) {
                break;
            }
            ++crashes;
        }
    }
    EXPECT_GT(crashes, 30);
}

TEST(Conductor, ServesOnWhenTheFenceDoesNotHold) {
    World world;
    world.london.fence_fails = true;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    world.turn();
    ASSERT_TRUE(world.settled(State::Serving, State::Following));
    EXPECT_EQ(world.problem_in(world.london), "the fence does not hold. Try: mend it");
    EXPECT_TRUE(world.london.open);
    EXPECT_EQ(world.epoch_of(world.london), 1U);
    world.london.fence_fails = false;
    world.ask(world.london, record_state::switchover, "sydney", "again");
    world.turn();
    EXPECT_TRUE(world.settled(State::Following, State::Serving));
}

TEST(Conductor, ServesOnWhenTheTargetDiffersOrDoesNotArrive) {
    for (const bool corrupt : {true, false}) {
        World world;
        (corrupt ? world.sydney.corrupt : world.sydney.stuck) = true;
        world.ask(world.london, record_state::switchover, "sydney", "op");
        world.turn();
        ASSERT_TRUE(world.settled(State::Serving, State::Following, 1000));
        EXPECT_NE(world.problem_in(world.london)
                      .find(corrupt ? "sydney refuses: blobs/uploads differ"
                                    : "longer than failover.switchover_timeout"),
                  std::string::npos)
            << world.problem_in(world.london);
        EXPECT_TRUE(world.london.open);
        EXPECT_EQ(world.epoch_of(world.london), 1U);
    }
}

TEST(Conductor, CapturesAgainWhatWasWrittenThroughTheFence) {
    World world;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.london_process) != State::HandedOff) {
        world.turn();
    }
    world.london.rows.push_back(++world.written);
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    world.expect_all_rows(world.sydney);
}

TEST(Conductor, GivesUpWhenTheOperatorSaysSoUntilThePointOfNoReturn) {
    World world;
    world.sydney.stuck = true;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.london_process) != State::HandedOff) {
        world.turn();
    }
    world.ask(world.london, record_state::aborting, "sydney", "op");
    ASSERT_TRUE(world.settled(State::Serving, State::Following));
    EXPECT_EQ(world.problem_in(world.london), "the operator has given it up");
    world.sydney.stuck = false;

    world.ask(world.london, record_state::switchover, "sydney", "second");
    while (world.state_of(world.london_process) != State::Committing) {
        world.turn();
    }
    world.ask(world.london, record_state::aborting, "sydney", "second");
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    world.expect_all_rows(world.sydney);
}

TEST(Conductor, PutsBackWhatItHasNotHeardOfBefore) {
    World world;
    world.london_process.reset();
    world.ask(world.london, record_state::switchover, "sydney", "op");
    world.ask(world.london, record_state::aborting, "sydney", "op");
    world.start_london();
    world.london_process->conductor.look();
    EXPECT_EQ(world.state_of(world.london_process), State::RollingBack);
    ASSERT_TRUE(world.settled(State::Serving, State::Following));
    EXPECT_EQ(world.problem_in(world.london), "the operator has given it up");
    EXPECT_EQ(world.london_process->conductor.status().operation, "op");
    EXPECT_TRUE(world.london.open);
    EXPECT_EQ(world.epoch_of(world.london), 1U);
}

TEST(Conductor, GivesUpWhereverOneOfTheProcessesIsKilled) {
    int crashes = 0;
    for (const bool kill_london : {true, false}) {
        for (int at = 1;; ++at) {
            SCOPED_TRACE((kill_london ? "london" : "sydney") + std::string(" dies at call ") +
                         std::to_string(at));
            World world;
            world.sydney.stuck = true;
            ASSERT_TRUE(world.ask(world.london, record_state::switchover, "sydney", "op"));
            while (world.state_of(world.london_process) != State::HandedOff) {
                world.turn();
            }
            Fault& fault = kill_london ? world.london_fault : world.sydney_fault;
            fault.calls = 0;
            fault.crash_at = at;
            ASSERT_TRUE(world.ask(world.london, record_state::aborting, "sydney", "op"));
            world.turn();
            ASSERT_TRUE(world.settled(State::Serving, State::Following));
            EXPECT_TRUE(world.london.open);
            EXPECT_EQ(world.problem_in(world.london), "the operator has given it up");
            EXPECT_EQ(world.epoch_of(world.london), 1U);
            world.sydney.stuck = false;
            ASSERT_TRUE(world.ask(world.london, record_state::switchover, "sydney", "again"));
            world.turn();
            ASSERT_TRUE(world.settled(State::Following, State::Serving));
            world.turn();
            world.expect_all_rows(world.sydney);
            if (!fault.crashed || at > 60) {
                break;
            }
            ++crashes;
        }
    }
    EXPECT_GT(crashes, 8);
}

TEST(Conductor, GivesUpAPromotionThatHasCutNothingYet) {
    World world;
    world.london_process.reset();
    world.london.server.down = true;
    world.london.open = false;
    world.sydney.stuck = true;
    world.ask(world.sydney, record_state::promoting, "sydney", "promote", "power is off");
    const auto turn = [&] {
        world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault, [] {});
        world.clock.advance(std::chrono::milliseconds(100));
    };
    for (int i = 0; i < 10; ++i) {
        turn();
    }
    ASSERT_EQ(world.state_of(world.sydney_process), State::Cutting);
    test::MemoryBucket bucket(world.sydney.server);
    const Epoch seen = *read_epoch(bucket, "demo");
    v1::EpochRecord word = successor(seen.record, "cli", world.clock.now());
    word.set_state(record_state::serving);
    word.set_problem("the operator has given it up");
    ASSERT_TRUE(change_epoch(bucket, seen, word));
    turn();
    EXPECT_EQ(world.state_of(world.sydney_process), State::Following);
    EXPECT_EQ(world.sydney_process->journal.last()->detail, "the operator has given it up");
    EXPECT_EQ(world.epoch_of(world.sydney), 1U);
}

TEST(Conductor, TriesAFailedStepAgainLessAndLessOftenAndAtOnceOnAnOperatorsWord) {
    World world;
    world.sydney.cannot_prepare = true;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.sydney_process) != State::Preparing) {
        world.turn();
    }
    for (int i = 0; i < 300; ++i) {  // 30 s
        world.turn();
    }
    EXPECT_GE(world.sydney.preparing, 8);
    EXPECT_LE(world.sydney.preparing, 15) << "its command runs all the time";
    EXPECT_EQ(world.sydney_process->conductor.status().problem, "before_open_command failed");
    // Just after it has failed again.
    const int tried = world.sydney.preparing;
    while (world.sydney.preparing == tried) {
        world.turn();
    }
    world.sydney.cannot_prepare = false;
    test::MemoryBucket bucket(world.sydney.server);
    bucket.put(resume_key, "1 of another epoch");
    world.turn();
    EXPECT_EQ(world.sydney.prepared, 0);
    bucket.put(resume_key, "2 now");
    world.turn();
    EXPECT_EQ(world.sydney.prepared, 1);
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    world.turn();
    world.expect_all_rows(world.sydney);
}

TEST(Conductor, ServesOnWhenItsOwnServerIsAwayAndTellsSoWhenThatIsBack) {
    for (const bool restarted : {false, true}) {
        World world;
        world.sydney.stuck = true;
        world.ask(world.london, record_state::switchover, "sydney", "op");
        while (world.state_of(world.london_process) != State::HandedOff) {
            world.turn();
        }
        world.london.server.down = true;
        if (restarted) {
            world.start_london();
        }
        for (int i = 0; i < 700 && !world.london.open; ++i) {
            world.turn();
        }
        EXPECT_TRUE(world.london.open) << "nobody may write for as long as the server is away";
        EXPECT_EQ(world.state_of(world.london_process), State::RollingBack);
        world.sydney.stuck = false;
        world.london.server.down = false;
        world.clock.advance(std::chrono::seconds(10));
        ASSERT_TRUE(world.settled(State::Serving, State::Following));
        EXPECT_NE(world.problem_in(world.london).find("switchover_timeout"), std::string::npos);
        EXPECT_EQ(world.epoch_of(world.london), 1U);
        world.ask(world.london, record_state::switchover, "sydney", "again");
        world.turn();
        ASSERT_TRUE(world.settled(State::Following, State::Serving));
        world.expect_all_rows(world.sydney);
    }
}

TEST(Conductor, DoesNotFollowAPrimaryThatBeganElsewhereThanThisSiteEnded) {
    World world;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.london_process) != State::Yielding) {
        world.turn();
    }
    world.sydney_process.reset();
    // Somebody promoted it at the same time, from what it had.
    test::MemoryBucket bucket(world.sydney.server);
    const Epoch seen = *read_epoch(bucket, "demo");
    v1::EpochRecord claim = successor(seen.record, "somebody", world.clock.now());
    claim.set_epoch(2);
    claim.set_primary("sydney");
    claim.set_operation_id("promote");
    claim.clear_cuts();
    claim.add_cuts()->set_lsn(1);
    claim.add_starts()->set_lsn(1);
    claim.set_sequence(claim.sequence() + 100);
    ASSERT_TRUE(change_epoch(bucket, seen, claim));
    for (int i = 0; i < 20; ++i) {
        world.turn();
    }
    EXPECT_EQ(world.state_of(world.london_process), State::Fenced);
    EXPECT_FALSE(world.london.open);
}

TEST(Conductor, PreparesAnewWhenItLostItsJournalBeforeItWasOpen) {
    World world;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.sydney_process) != State::Opening) {
        world.turn();
    }
    world.sydney_process.reset();
    std::filesystem::remove(world.directory / "sydney.journal");
    world.start_sydney();
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    EXPECT_GT(world.sydney.prepared, 0);
    world.expect_all_rows(world.sydney);
}

TEST(Conductor, RemembersWhatTookAWriteBeforeItServed) {
    World world;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    ASSERT_TRUE(world.settled(State::Following, State::Serving));
    EXPECT_EQ(world.sydney_process->journal.last()->detail, "database/app took a write");
}

TEST(Conductor, OfTwoOperatorsOneLoses) {
    World world;
    test::MemoryBucket bucket(world.london.server);
    const Epoch seen = *read_epoch(bucket, "demo");
    EXPECT_TRUE(world.ask(world.london, record_state::switchover, "sydney", "one"));
    EXPECT_FALSE(change_epoch(bucket, seen, successor(seen.record, "two", world.clock.now())));
}

TEST(Conductor, PromotesWithoutThePrimaryAndFencesItWhenItReturns) {
    for (int at = 0;; ++at) {
        SCOPED_TRACE("sydney dies at call " + std::to_string(at));
        World world;
        for (int i = 0; i < 5; ++i) {
            world.turn();
        }
        world.london_process.reset();
        world.london.server.down = true;
        world.london.open = false;  // the operator has made sure of that
        world.sydney_fault.calls = 0;
        world.sydney_fault.crash_at = at;
        ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote"));
        const auto serves = [&] { return world.state_of(world.sydney_process) == State::Serving; };
        for (int i = 0; i < 200 && !serves(); ++i) {
            world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault,
                       [&] { world.start_sydney(); });
            world.clock.advance(std::chrono::milliseconds(100));
        }
        ASSERT_TRUE(serves());
        EXPECT_EQ(world.epoch_of(world.sydney), 2U);
        // It comes back as it was left: serving, as far as it knows.
        world.london.server.down = false;
        world.clock.advance(std::chrono::seconds(10));
        world.start_london();
        ASSERT_TRUE(world.settled(State::Fenced, State::Serving));
        world.turn();
        EXPECT_FALSE(world.london.open);
        EXPECT_EQ(world.london_process->conductor.half(), Half::None);
        world.london_process.reset();
        world.start_london();
        world.turn();
        EXPECT_EQ(world.state_of(world.london_process), State::Fenced) << "also after a restart";
        // Somebody lets writes in by hand.
        world.london.open = true;
        world.clock.advance(std::chrono::seconds(5));
        world.step(world.london_process, world.london, world.sydney, world.london_fault, [] {});
        EXPECT_FALSE(world.london.open);
        if (at > 0 && !world.sydney_fault.crashed) {
            break;
        }
    }
}

TEST(Conductor, WaitsForTheLeaseBeforeItCutsAndWritesDownWhatProvesThatItHasRunOut) {
    for (int at = 0;; ++at) {
        SCOPED_TRACE("sydney dies at call " + std::to_string(at));
        World world;
        world.london_process.reset();
        world.london.server.down = true;
        world.sydney.lease_waits = "waits for london's lease to run out: 9 s";
        world.sydney.lease_proof = "the lease of london ran out";
        ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote"));
        const auto turn = [&] {
            world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault,
                       [&] { world.start_sydney(); });
            world.clock.advance(std::chrono::milliseconds(100));
        };
        world.sydney_fault.calls = 0;
        world.sydney_fault.crash_at = at;
        for (int i = 0; i < 20 || !world.state_of(world.sydney_process); ++i) {
            turn();
        }
        EXPECT_EQ(world.state_of(world.sydney_process), State::Cutting);
        const ConductorStatus waiting = world.sydney_process->conductor.status();
        EXPECT_EQ(waiting.problem, "waits for london's lease to run out: 9 s");
        EXPECT_EQ(waiting.next_step, "wait");
        EXPECT_EQ(world.epoch_of(world.sydney), 1U);
        world.london.open = false;  // its fencer has closed it
        world.sydney.lease_waits.clear();
        for (int i = 0; i < 200 && world.state_of(world.sydney_process) != State::Serving; ++i) {
            turn();
        }
        ASSERT_EQ(world.state_of(world.sydney_process), State::Serving);
        test::MemoryBucket bucket(world.sydney.server);
        EXPECT_EQ(start_of(read_epoch(bucket, "demo")->record, 2)->fenced_by(),
                  "the lease of london ran out");
        if (at > 0 && !world.sydney_fault.crashed) {
            break;
        }
    }
}

TEST(Conductor, AnOperatorsWordEndsTheWaitForALease) {
    World world;
    world.london_process.reset();
    world.london.server.down = true;
    world.sydney.lease_waits = "the witness does not answer";
    ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote"));
    const auto turn = [&] {
        world.step(world.sydney_process, world.sydney, world.sydney, world.sydney_fault, [] {});
        world.clock.advance(std::chrono::milliseconds(100));
    };
    for (int i = 0; i < 20; ++i) {
        turn();
    }
    ASSERT_EQ(world.state_of(world.sydney_process), State::Cutting);
    world.london.open = false;
    ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote", "it is off"));
    for (int i = 0; i < 50; ++i) {
        turn();
    }
    EXPECT_EQ(world.state_of(world.sydney_process), State::Serving);
    EXPECT_EQ(world.epoch_of(world.sydney), 2U);
}

TEST(Conductor, TwoClaimsToOneEpochFenceBoth) {
    World world;
    test::MemoryBucket bucket(world.sydney.server);
    const Epoch seen = *read_epoch(bucket, "demo");
    v1::EpochRecord claim = successor(seen.record, "somebody", world.clock.now());
    claim.set_primary("sydney");
    ASSERT_TRUE(change_epoch(bucket, seen, claim));
    EXPECT_TRUE(world.settled(State::Fenced, State::Fenced));
    EXPECT_FALSE(world.london.open);
}

/// Two operators promote a site each, in whichever order the sites look.
TEST(Conductor, OfTwoPromotionsThatWhichWasAskedFirstGoesOn) {
    for (int ahead = 0; ahead < 8; ++ahead) {
        SCOPED_TRACE("sydney, asked later, has looked so often: " + std::to_string(ahead));
        World world("paris");
        world.turn();
        const std::string word = "paris is off";
        const auto sydney_looks = [&](int times) {
            for (int i = 0; i < times; ++i) {
                world.step(world.sydney_process, world.sydney, world.london, world.sydney_fault,
                           [] {});
            }
        };
        ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote-2", word));
        const int before = ahead / 2;
        sydney_looks(before);
        ASSERT_TRUE(world.ask(world.london, record_state::promoting, "london", "promote-1", word));
        sydney_looks(ahead - before);
        // Who has claimed the epoch before the other was asked is not too late.
        const bool sydney_wins = world.epoch_of(world.sydney) == 2;
        for (int turn = 0; turn < 50; ++turn) {
            world.turn();
        }
        EXPECT_TRUE(world.settled(sydney_wins ? State::Following : State::Serving,
                                  sydney_wins ? State::Serving : State::Following));
        EXPECT_EQ(world.epoch_of(world.london), 2U);
        EXPECT_EQ(world.epoch_of(world.sydney), 2U);
        EXPECT_NE(world.london.open, world.sydney.open);
    }
}

TEST(Conductor, APromotionWaitsForAnotherOneThatMayHaveClaimedTheEpoch) {
    World world("paris");
    world.turn();
    world.sydney.stuck = true;  // it has seen that it is alone, and cuts
    ASSERT_TRUE(world.ask(world.sydney, record_state::promoting, "sydney", "promote-2", "off"));
    world.step(world.sydney_process, world.sydney, world.london, world.sydney_fault, [] {});
    ASSERT_EQ(world.state_of(world.sydney_process), State::Cutting);
    ASSERT_TRUE(world.ask(world.london, record_state::promoting, "london", "promote-1", "off"));
    const auto london_looks = [&] {
        world.step(world.london_process, world.london, world.sydney, world.london_fault, [] {});
        EXPECT_EQ(world.state_of(world.london_process), State::Cutting);
        return world.london_process->conductor.status().problem;
    };
    EXPECT_EQ(london_looks(), "sydney is promoted, too, and is to give up");
    world.sydney.server.down = true;
    EXPECT_EQ(london_looks(), "sydney was promoted, too, and does not say what became of that");
    world.sydney.server.down = false;
    world.clock.advance(std::chrono::seconds(10));
    EXPECT_TRUE(world.settled(State::Serving, State::Following));
}

TEST(Conductor, TellsWhatItDoes) {
    World world;
    EXPECT_EQ(world.london_process->conductor.status().state, State::Serving);
    world.sydney.stuck = true;
    world.ask(world.london, record_state::switchover, "sydney", "op");
    while (world.state_of(world.sydney_process) != State::CatchingUp) {
        world.turn();
    }
    const ConductorStatus status = world.sydney_process->conductor.status();
    EXPECT_EQ(status.operation, "op");
    EXPECT_EQ(status.report.state(), "catching-up");
    EXPECT_FALSE(status.report.handoff().empty());
}

}  // namespace
}  // namespace antipode::failover
