#include "apps/antipoded/seen_elsewhere.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using namespace std::chrono_literals;
using failover::JournalEntry;
using failover::State;
using testing::HasSubstr;

/// Sydney has just become the primary of epoch 2.
class SeenFromSydney : public testing::Test {
  protected:
    SeenFromSydney() {
        config_.site = "sydney";
        for (const char* name : {"london", "sydney", "tokyo"}) {
            config_.sites.emplace_back().name = name;
        }
        now_.state = State::Serving;
        for (const State state : {State::Preparing, State::Opening, State::Serving}) {
            journal_.append({0, clock_.now(), 2, "switchover-1", state, "done", "x"});
        }
        opened_ = clock_.now();
    }
    void hear(const std::string& site, uint64_t epoch, std::chrono::milliseconds applied,
              uint64_t safe_number = 0) {
        v1::SiteReport report;
        report.set_site(site);
        report.set_role("secondary");
        report.set_epoch(epoch);
        report.set_recovery_point_us(to_microseconds(opened_ + applied));
        report.set_safe_epoch(epoch);
        report.set_safe_number(safe_number);
        seen_.hear({report});
    }
    /// What the journal says of it; empty: nothing yet.
    std::string look() {
        seen_.look(now_);
        const JournalEntry& last = journal_.last().value();
        EXPECT_EQ(last.state, State::Serving);
        EXPECT_EQ(last.operation, "switchover-1");
        return last.event == failover::seen_event ? last.detail : std::string();
    }

    test::TemporaryDirectory directory_;
    ManualClock clock_;
    Config config_;
    failover::Journal journal_{directory_ / "journal"};
    failover::ConductorStatus now_;
    TimePoint opened_;
    SeenElsewhere seen_{config_, journal_, clock_};
};

TEST_F(SeenFromSydney, SaysWhenEachSiteHasAppliedIt) {
    EXPECT_EQ(look(), "");
    hear("london", 2, -1ms);
    clock_.advance(1s);
    EXPECT_EQ(look(), "") << "london has applied nothing that was written since";
    hear("london", 2, 0ms);
    clock_.advance(200ms);
    EXPECT_EQ(look(), "") << "tokyo may still";
    hear("tokyo", 2, 3s);
    clock_.advance(2s);
    EXPECT_EQ(look(),
              "london has applied the new epoch, 1.2 s after writes opened; tokyo has applied the "
              "new epoch, 3.2 s after writes opened");
    const uint64_t lines = journal_.last()->number;
    clock_.advance(60s);
    look();
    EXPECT_EQ(journal_.last()->number, lines) << "it is said once";
}

TEST_F(SeenFromSydney, SaysAfterAWhileWhoHasNot) {
    hear("london", 2, 1s);
    hear("tokyo", 2, -9s, 1);
    EXPECT_EQ(look(), "");
    clock_.advance(29s);
    EXPECT_EQ(look(), "");
    clock_.advance(1s);
    EXPECT_EQ(look(),
              "london has applied the new epoch, 0.0 s after writes opened; tokyo has received the "
              "new epoch, and not shown within 30 s that it has applied it. Try: antipode status "
              "tokyo");
}

TEST_F(SeenFromSydney, SaysThatNobodyHas) {
    hear("london", 1, 60s, 7);  // of the epoch before, as it was when it fell silent
    EXPECT_EQ(look(), "");
    clock_.advance(30s);
    EXPECT_EQ(look(),
              "no other site has seen the new epoch within 30 s of writes opening: what is written "
              "is here alone. Try: antipode status london");
}

TEST_F(SeenFromSydney, GoesOnAfterARestart) {
    look();
    clock_.advance(3600s);
    SeenElsewhere anew(config_, journal_, clock_);
    anew.look(now_);
    EXPECT_NE(journal_.last()->event, failover::seen_event) << "nobody had time to report";
    clock_.advance(5s);
    anew.look(now_);
    EXPECT_THAT(journal_.last()->detail, HasSubstr("no other site has seen"));
}

TEST_F(SeenFromSydney, SaysNothingOfASiteThatServesOnOrServesNoMore) {
    journal_.append({0, clock_.now(), 2, "switchover-2", State::Fencing, "asked", "london"});
    clock_.advance(60s);
    now_.state = State::Fencing;
    seen_.look(now_);
    EXPECT_EQ(journal_.last()->state, State::Fencing);
    journal_.append({0, clock_.now(), 2, "switchover-2", State::RollingBack, "failed", "x"});
    journal_.append({0, clock_.now(), 2, "switchover-2", State::Serving, "done", "x"});
    now_.state = State::Serving;
    clock_.advance(60s);
    seen_.look(now_);
    EXPECT_EQ(journal_.last()->detail, "x") << "writes were open in this epoch before";
}

}  // namespace
}  // namespace antipode
