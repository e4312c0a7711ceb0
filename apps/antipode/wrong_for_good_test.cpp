#include "apps/antipode/wrong_for_good.hpp"

#include <gtest/gtest.h>

namespace antipode::cli {
namespace {

using namespace std::chrono_literals;

const TimePoint start = TimePoint(std::chrono::hours(1));

TEST(WrongForGood, WhatWaitsToBeAppliedMayMendIt) {
    WrongForGood wrong;
    // Applied is what was captured a hundred seconds ago, and goes on.
    for (auto passed = 0s; passed <= 160s; passed += 1s) {
        EXPECT_FALSE(wrong.judge(start, start + passed - 100s, start + passed)) << passed.count();
    }
    EXPECT_TRUE(wrong.judge(start, start + 61s, start + 161s));
}

TEST(WrongForGood, NothingIsWaitedForThatDoesNotComeNearer) {
    for (const std::optional<TimePoint>& applied :
         {std::optional<TimePoint>(start - 100s), std::optional<TimePoint>()}) {
        WrongForGood wrong;
        EXPECT_FALSE(wrong.judge(start, applied, start + 500s)) << "the first look";
        EXPECT_FALSE(wrong.judge(start, applied, start + 560s));
        EXPECT_TRUE(wrong.judge(start, applied, start + 561s));
    }
}

TEST(WrongForGood, AnOlderSiteDoesNotSaySinceWhen) {
    EXPECT_TRUE(WrongForGood().judge({}, start, start));
}

}  // namespace
}  // namespace antipode::cli
