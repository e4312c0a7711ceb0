#include "failover/lease.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_bucket.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using test::MemoryBucket;
using testing::HasSubstr;

/// The servers and the clock that all sites share: clocks that differ are the margin's business.
struct Cluster {
    ManualClock clock;
    test::TemporaryDirectory directory;
    std::map<std::string, MemoryBucket::Server> servers;  ///< "" is the witness
};

/// One site's daemon, as far as the lease goes.
class Site {
  public:
    Site(Cluster& cluster, std::string name, std::vector<std::string> others)
        : cluster_(cluster),
          name_(std::move(name)),
          others_(std::move(others)),
          state_dir_(cluster.directory / name_) {
        std::filesystem::create_directories(state_dir_);
        start();
    }
    void start() {
        lease.reset();
        lease = std::make_unique<Lease>(
            Lease::Options{"demo", name_, others_, "nats://w:1", state_dir_},
            [this](const std::string& site) {
                return std::make_unique<MemoryBucket>(cluster_.servers[site]);
            },
            cluster_.clock);
    }
    /// What the conductor's state makes of it.
    void be(State state, uint64_t epoch, const v1::EpochRecord& record) {
        lease->want(wish_of(name_, state, epoch, record));
    }
    void turn() {
        if (fenced_by_a_fencer) {
            write_fencer_file(state_dir_, {boot_id(), cluster_.clock.boot_now(), "watching", ""});
        }
        lease->tick();
        for (size_t i = 0; i < lease->places(); ++i) {
            try {
                lease->step(i);
            } catch (const Error&) {
                // Its worker shows it.
            }
        }
    }
    bool holds() const { return lease->status().holds; }
    std::optional<LeaseFile> file() const { return read_lease_file(state_dir_); }
    const std::filesystem::path& state_dir() const { return state_dir_; }

    bool fenced_by_a_fencer = true;
    std::unique_ptr<Lease> lease;

  private:
    Cluster& cluster_;
    std::string name_;
    std::vector<std::string> others_;
    std::filesystem::path state_dir_;
};

v1::EpochRecord serving(uint64_t epoch, const std::string& primary) {
    v1::EpochRecord record;
    record.set_cluster("demo");
    record.set_epoch(epoch);
    record.set_primary(primary);
    record.set_state(record_state::serving);
    return record;
}

/// Begun by a promotion, from `from`.
v1::EpochRecord promoted(uint64_t epoch, const std::string& primary, const std::string& from) {
    v1::EpochRecord record = serving(epoch - 1, from);
    record.set_fenced_by("its lease ran out");
    begin_epoch(record, epoch, primary, {});
    return record;
}

v1::EpochRecord promoting(uint64_t epoch, const std::string& primary, const std::string& target,
                          const std::string& fenced_by = {}) {
    v1::EpochRecord record = serving(epoch, primary);
    record.set_state(record_state::promoting);
    record.set_target(target);
    record.set_fenced_by(fenced_by);
    return record;
}

class OfTwo : public testing::Test {
  protected:
    OfTwo() {
        london.be(State::Serving, 1, serving(1, "london"));
        sydney.be(State::Following, 1, serving(1, "london"));
        go(2s);
    }
    /// Everybody is at work for so long.
    void go(milliseconds time, milliseconds step = 250ms) {
        for (milliseconds passed(0); passed < time; passed += step) {
            if (london_runs) {
                london.turn();
            }
            sydney.turn();
            cluster.clock.advance(step);
        }
    }
    v1::Lease at(const std::string& place) {
        v1::Lease lease;
        lease.ParseFromString(MemoryBucket(cluster.servers[place]).get("lease")->value);
        return lease;
    }
    MemoryBucket::Server& witness() { return cluster.servers[""]; }
    void claim(const std::string& fenced_by = {}) {
        record = promoting(1, "london", "sydney", fenced_by);
        sydney.be(State::Cutting, 1, record);
    }

    Cluster cluster;
    Site london{cluster, "london", {"sydney"}};
    Site sydney{cluster, "sydney", {"london"}};
    bool london_runs = true;
    v1::EpochRecord record;
};

TEST_F(OfTwo, ThePrimaryHoldsItBothWaysAndTheFileSaysUntilWhen) {
    EXPECT_TRUE(london.holds());
    const LeaseStatus seen = london.lease->status();
    EXPECT_TRUE(seen.at_witness);
    EXPECT_TRUE(seen.at_sites);
    EXPECT_EQ(seen.problem, "");
    EXPECT_TRUE(seen.enforced);
    EXPECT_EQ(at("").holder(), "london");
    EXPECT_EQ(at("sydney").holder(), "london");
    EXPECT_FALSE(cluster.servers["london"].entries.contains("lease"));
    const auto file = london.file();
    ASSERT_TRUE(file);
    EXPECT_TRUE(file->meant_open);
    EXPECT_EQ(file->primary, "london");
    EXPECT_LE(file->until, cluster.clock.boot_now() + 15s);
    EXPECT_FALSE(sydney.file()->meant_open);
    const uint64_t renewals = at("").renewal();
    // A fencer that could close nothing is none.
    write_fencer_file(london.state_dir(),
                      {boot_id(), cluster.clock.boot_now(), "watching", "nothing stops writes"});
    london.lease->tick();
    EXPECT_FALSE(london.lease->status().enforced);
    EXPECT_THAT(london.lease->status().problem, HasSubstr("nothing stops writes"));
    go(30s);
    EXPECT_GE(at("").renewal(), renewals + 5);
    EXPECT_LE(at("").renewal(), renewals + 7) << "every five seconds";
    EXPECT_TRUE(london.holds());
}

TEST_F(OfTwo, AnOutageOfOneOfBothEndsNothingOneOfBothDoes) {
    witness().down = true;
    go(60s);
    EXPECT_TRUE(london.holds());
    EXPECT_FALSE(london.lease->status().at_witness);
    EXPECT_THAT(london.lease->status().problem, HasSubstr("promises of all other sites alone"));
    witness().down = false;
    cluster.servers["sydney"].down = true;
    go(60s);
    EXPECT_TRUE(london.holds());
    EXPECT_THAT(london.lease->status().problem, HasSubstr("at the witness alone: sydney: "));
    witness().down = true;
    go(12s);
    EXPECT_FALSE(london.holds()) << "nobody knows what happens where it is not seen";
    EXPECT_EQ(duty_of(london.file(), false, boot_id(), cluster.clock.boot_now()),
              FencerDuty::Close);
    EXPECT_THROW(london.lease->must_hold(), Error);
    witness().down = false;
    go(2s);
    EXPECT_TRUE(london.holds());
    EXPECT_EQ(duty_of(london.file(), true, boot_id(), cluster.clock.boot_now()), FencerDuty::Lift);
}

TEST_F(OfTwo, WhatWasPromisedIsCountedFromBeforeItWasSent) {
    go(5s);
    const BootTime before = cluster.clock.boot_now();
    // Each answer is written and lost: nothing is known to be promised any more.
    witness().loses_answers = true;
    cluster.servers["sydney"].loses_answers = true;
    go(20s);
    EXPECT_FALSE(london.holds());
    EXPECT_LE(london.file()->until, before + 15s);
    witness().loses_answers = false;
    go(2s);
    EXPECT_TRUE(london.holds()) << "it does not find its own renewals again";
}

TEST_F(OfTwo, ALeaseThatNobodyRenewsIsTakenOnceItHasRunOut) {
    london_runs = false;
    claim();
    cluster.clock.advance(1s);
    go(250ms);
    const BootTime asked = cluster.clock.boot_now();
    LeasePassage passage = sydney.lease->passage(record);
    EXPECT_FALSE(passage.open);
    EXPECT_THAT(passage.words, HasSubstr("waits for london's lease to run out: 1"));
    EXPECT_EQ(passage.next_step, "") << "there is nothing to do but to wait";
    while (!(passage = sydney.lease->passage(record)).open) {
        ASSERT_LT(cluster.clock.boot_now() - asked, 20s) << passage.words;
        EXPECT_TRUE(!london.holds() || cluster.clock.boot_now() < asked + 15s);
        go(250ms);
    }
    EXPECT_FALSE(london.holds());
    EXPECT_THAT(passage.words, HasSubstr("the lease of london ran out"));
    EXPECT_EQ(at("").holder(), "sydney");
    EXPECT_EQ(at("").epoch(), 2U);
    EXPECT_EQ(at("sydney").holder(), "sydney");
    // It comes back, and cannot renew.
    london_runs = true;
    go(10s);
    EXPECT_FALSE(london.holds());
    EXPECT_THAT(london.lease->status().problem, HasSubstr("sydney holds the lease of epoch 2"));
    // And the new primary need not be promised by it before it was once.
    london_runs = false;
    cluster.servers["london"].down = true;
    sydney.be(State::Preparing, 2, promoted(2, "sydney", "london"));
    go(500ms);
    EXPECT_NO_THROW(sydney.lease->must_hold());
    witness().down = true;
    go(30s);
    EXPECT_NO_THROW(sydney.lease->must_hold()) << "nobody is left who could take it";
}

TEST_F(OfTwo, ASiteThatWasFencedCountsForGoodOnceItHasPromised) {
    const v1::EpochRecord second = promoted(2, "sydney", "london");
    london.be(State::Following, 2, second);
    claim("power is off");
    go(1s);
    sydney.be(State::Serving, 2, second);
    go(2s);
    EXPECT_EQ(at("london").holder(), "sydney");
    sydney.start();
    sydney.be(State::Serving, 2, second);
    cluster.servers["london"].down = true;
    witness().down = true;
    go(16s);
    EXPECT_FALSE(sydney.holds()) << "london may be promoted where this site cannot see it";
}

TEST_F(OfTwo, APrimaryThatRenewsIsWaitedForInVain) {
    claim();
    go(40s);
    EXPECT_FALSE(sydney.lease->passage(record).open);
    EXPECT_THAT(sydney.lease->passage(record).next_step, HasSubstr("london is alive"));
    EXPECT_TRUE(london.holds());
    EXPECT_EQ(at("").holder(), "london") << "a half of it was taken";
    EXPECT_EQ(at("sydney").holder(), "london") << "a half of it was taken";
    // At the witness alone, too.
    cluster.servers["sydney"].loses_answers = false;
    go(5s);
    EXPECT_TRUE(london.lease->status().at_sites);
}

TEST_F(OfTwo, TheOperatorsWordIsNotWaitedFor) {
    london_runs = false;
    claim("power is off");
    EXPECT_TRUE(sydney.lease->passage(record).open);
    go(500ms);
    EXPECT_EQ(at("").holder(), "sydney");
    EXPECT_EQ(at("sydney").holder(), "sydney");
    // Also without the witness.
    witness().down = true;
    EXPECT_TRUE(sydney.lease->passage(record).open);
}

TEST_F(OfTwo, WhatAPromotionThatIsGivenUpHasTakenGoesBack) {
    london_runs = false;
    claim("a wish");
    go(500ms);
    ASSERT_EQ(at("").holder(), "sydney");
    sydney.be(State::Following, 1, serving(1, "london"));
    go(1s);
    EXPECT_EQ(at("").holder(), "london");
    EXPECT_EQ(at("sydney").holder(), "london");
    EXPECT_EQ(at("").epoch(), 1U);
    // What was taken at once says nothing about a later one that is to wait.
    claim();
    go(1s);
    EXPECT_FALSE(sydney.lease->passage(record).open);
    london_runs = true;
    go(2s);
    EXPECT_TRUE(london.holds());
}

/// Neither is a secondary: what they have claimed would keep the primary from renewing for good.
TEST_F(OfTwo, WhatASiteThatIsFencedHasClaimedGoesBackToo) {
    const v1::EpochRecord second = promoted(2, "sydney", "london");
    for (const State state : {State::Fenced, State::Quarantined}) {
        SCOPED_TRACE(to_string(state));
        london.be(state, 2, second);
        const bool meant_open = london.file()->meant_open;
        sydney.be(State::Serving, 2, second);
        go(2s);
        ASSERT_EQ(at("london").holder(), "sydney") << "sydney counts it in";
        v1::EpochRecord claim = second;
        claim.set_state(record_state::promoting);
        claim.set_target("london");
        london.be(state, 2, claim);
        go(30s);
        ASSERT_EQ(at("").epoch(), 3U);
        ASSERT_EQ(at("london").epoch(), 3U);
        ASSERT_FALSE(sydney.holds());
        london.be(state, 2, second);
        go(7s);
        EXPECT_EQ(at("").holder(), "sydney");
        EXPECT_EQ(at("london").holder(), "sydney");
        EXPECT_EQ(at("").epoch(), 2U);
        EXPECT_TRUE(sydney.holds());
        EXPECT_EQ(london.file()->meant_open, meant_open) << "whether its fences hold is not known";
    }
}

/// It may have writes open until then.
TEST_F(OfTwo, ALeaseOfTheEpochBeforeIsNotGivenAwayBeforeItRunsOut) {
    london.be(State::Fenced, 2, promoted(2, "sydney", "london"));
    go(2s);
    EXPECT_EQ(at("").holder(), "london");
    EXPECT_EQ(at("").epoch(), 1U);
}

TEST_F(OfTwo, AHandoverTakesItAtOnce) {
    const v1::EpochRecord second = serving(2, "sydney");
    london.be(State::Yielding, 2, second);
    sydney.be(State::Preparing, 2, second);
    go(500ms);
    EXPECT_NO_THROW(sydney.lease->must_hold());
    EXPECT_FALSE(london.holds());
    EXPECT_EQ(at("").holder(), "sydney");
    EXPECT_EQ(at("london").holder(), "sydney");
}

TEST_F(OfTwo, SaysWhyItCannotWait) {
    const auto obstacle = [&] {
        go(6s);
        return sydney.lease->status().obstacle;
    };
    EXPECT_EQ(obstacle(), "");
    EXPECT_LE(sydney.lease->status().wait, 18s);
    london.fenced_by_a_fencer = false;
    go(12s);
    EXPECT_THAT(obstacle(), HasSubstr("no antipode-fencer that could"));
    london.fenced_by_a_fencer = true;
    EXPECT_EQ(obstacle(), "");
    witness().down = true;
    EXPECT_THAT(obstacle(), HasSubstr("the witness does not answer"));
    claim();
    go(1s);
    EXPECT_THAT(sydney.lease->passage(record).words, HasSubstr("connection refused"));
    EXPECT_THAT(sydney.lease->passage(record).next_step, HasSubstr("--fenced-by"));
    witness().down = false;
    sydney.be(State::Following, 1, serving(1, "london"));
    cluster.servers["sydney"].entries.erase("lease");
    london_runs = false;
    EXPECT_THAT(obstacle(), HasSubstr("never asked this site for its lease in epoch 1"));
}

TEST_F(OfTwo, ASecondarySeesWithWhomItCouldHoldItAndIsNotWorriedAboutIt) {
    const auto problem_at = [&](const std::string& site) {
        for (const LeaseStatus::Place& place : sydney.lease->status().places) {
            if (place.site == site) {
                return place.problem;
            }
        }
        return std::string("it does not look there");
    };
    EXPECT_EQ(problem_at("london"), "");
    cluster.servers["london"].down = true;
    go(6s);
    EXPECT_THAT(problem_at("london"), HasSubstr("connection refused"));
    for (size_t i = 0; i < sydney.lease->places(); ++i) {
        EXPECT_NO_THROW(sydney.lease->step(i)) << sydney.lease->name_of_step(i);
    }
    cluster.servers["london"].down = false;
    go(6s);
    EXPECT_EQ(problem_at("london"), "");
    EXPECT_EQ(problem_at(""), "");
}

TEST_F(OfTwo, SaysThatNobodyOpensWhatWasClosedWhileNoFencerRuns) {
    EXPECT_TRUE(london.lease->is_held());
    write_closed_file(london.state_dir(), {1, {true, {}, {}}});
    london.fenced_by_a_fencer = false;
    go(12s);
    EXPECT_TRUE(london.holds());
    EXPECT_THAT(london.lease->status().problem, HasSubstr("which opens them again, does not run"));
    EXPECT_THAT(london.lease->status().next_step, HasSubstr("antipode-fencer"));
    london.fenced_by_a_fencer = true;
    go(1s);
    EXPECT_EQ(london.lease->status().problem, "");
}

TEST_F(OfTwo, TakesNothingWhereTheEndOfALeaseProvesNothing) {
    go(6s);
    claim();
    london.fenced_by_a_fencer = false;
    go(18s);  // it renews, and says so
    london_runs = false;
    go(40s);
    EXPECT_FALSE(sydney.lease->passage(record).open);
    EXPECT_THAT(sydney.lease->passage(record).words, HasSubstr("no antipode-fencer that could"));
    v1::Lease lease;
    ASSERT_TRUE(lease.ParseFromString(witness().entries.at("lease").value));
    EXPECT_EQ(lease.holder(), "london");
}

TEST_F(OfTwo, AProcessThatComesAfterGoesOnWithWhatWasPromised) {
    go(6s);
    cluster.servers["sydney"].down = true;
    witness().down = true;
    london.start();
    london.be(State::Serving, 1, serving(1, "london"));
    go(1s);
    EXPECT_TRUE(london.holds());
    go(12s);
    EXPECT_FALSE(london.holds());
}

TEST_F(OfTwo, IsMeantOpenOnlyWhileWritesAre) {
    london.be(State::Fencing, 1, serving(1, "london"));
    EXPECT_TRUE(london.file()->meant_open) << "the fences are not closed yet";
    london.lease->shut_out();
    EXPECT_FALSE(london.file()->meant_open);
    london.be(State::RollingBack, 1, serving(1, "london"));
    EXPECT_FALSE(london.file()->meant_open);
    london.lease->let_in();
    EXPECT_TRUE(london.file()->meant_open);
    london.be(State::Fenced, 2, serving(2, "sydney"));
    EXPECT_TRUE(london.file()->meant_open) << "whether the fences hold is not known";
    EXPECT_EQ(duty_of(london.file(), false, boot_id(), cluster.clock.boot_now()),
              FencerDuty::Close);
}

TEST(LeaseOfThree, NeedsTheWitnessOrAllOtherSites) {
    Cluster cluster;
    Site london(cluster, "london", {"sydney", "tokyo"});
    london.be(State::Serving, 1, serving(1, "london"));
    const auto go = [&](milliseconds time) {
        for (milliseconds passed(0); passed < time; passed += 250ms) {
            london.turn();
            cluster.clock.advance(250ms);
        }
    };
    go(1s);
    EXPECT_TRUE(london.lease->status().at_sites);
    cluster.servers["tokyo"].down = true;
    go(20s);
    EXPECT_FALSE(london.lease->status().at_sites);
    EXPECT_TRUE(london.holds());
    cluster.servers[""].down = true;
    go(20s);
    EXPECT_FALSE(london.holds()) << "tokyo may be promoted";
    cluster.servers["tokyo"].down = false;
    go(2s);
    EXPECT_TRUE(london.holds());
}

TEST(LeaseOfThree, IsTakenByOneOfTwoThatWantIt) {
    Cluster cluster;
    Site london(cluster, "london", {"sydney", "tokyo"});
    Site sydney(cluster, "sydney", {"london", "tokyo"});
    Site tokyo(cluster, "tokyo", {"london", "sydney"});
    london.be(State::Serving, 1, serving(1, "london"));
    for (Site* site : {&sydney, &tokyo}) {
        site->be(State::Following, 1, serving(1, "london"));
    }
    for (int i = 0; i < 8; ++i) {
        london.turn();
        cluster.clock.advance(250ms);
    }
    sydney.be(State::Cutting, 1, promoting(1, "london", "sydney"));
    tokyo.be(State::Cutting, 1, promoting(1, "london", "tokyo"));
    for (int i = 0; i < 120; ++i) {
        tokyo.turn();
        sydney.turn();
        cluster.clock.advance(250ms);
    }
    EXPECT_TRUE(tokyo.lease->passage(promoting(1, "london", "tokyo")).open);
    const LeasePassage other = sydney.lease->passage(promoting(1, "london", "sydney"));
    EXPECT_FALSE(other.open) << other.words;
}

TEST(LeaseFile, WhatIsOfAnotherBootIsVoid) {
    const BootTime now(1000s);
    const LeaseFile file{"this boot", now + 10s, true, 1, "london"};
    EXPECT_EQ(duty_of(file, false, "this boot", now), FencerDuty::Watch);
    EXPECT_EQ(duty_of(file, true, "this boot", now), FencerDuty::Lift);
    EXPECT_EQ(duty_of(file, false, "another", now), FencerDuty::Close);
    EXPECT_EQ(duty_of(file, false, "this boot", now + 7s), FencerDuty::Close);
    EXPECT_EQ(duty_of(std::nullopt, false, "this boot", now), FencerDuty::Nothing);
    LeaseFile shut = file;
    shut.meant_open = false;
    EXPECT_EQ(duty_of(shut, true, "another", now), FencerDuty::Forget);
    EXPECT_EQ(duty_of(shut, false, "another", now), FencerDuty::Nothing);
}

TEST(LeaseFile, FilesAreReadAsTheyWereWritten) {
    test::TemporaryDirectory directory;
    const auto& state = directory.path();
    EXPECT_FALSE(read_lease_file(state));
    EXPECT_FALSE(read_closed_file(state));
    write_lease_file(state, {"b", BootTime(5s), true, 3, "london"});
    EXPECT_EQ(read_lease_file(state)->until, BootTime(5s));
    EXPECT_EQ(read_lease_file(state)->epoch, 3U);
    write_closed_file(state, {3, {true, {"app"}, {"git"}}});
    EXPECT_EQ(read_closed_file(state)->parts.databases, std::set<std::string>{"app"});
    remove_closed_file(state);
    EXPECT_FALSE(read_closed_file(state));
    test::write_file(state / "lease", "{\"boot_id\":");
    EXPECT_EQ(duty_of(read_lease_file(state), false, "b", BootTime(1s)), FencerDuty::Close);
    test::write_file(state / "fencer.closed", "");
    EXPECT_THROW(static_cast<void>(read_closed_file(state)), Error);
}

TEST(LeaseFile, TheFencesAreHeldByOneAtATime) {
    test::TemporaryDirectory directory;
    {
        const FenceLock lock(directory.path());
        EXPECT_THROW(FenceLock(directory.path(), 50ms), Error);
    }
    EXPECT_NO_THROW(FenceLock(directory.path(), 50ms));
}

}  // namespace
}  // namespace antipode::failover
