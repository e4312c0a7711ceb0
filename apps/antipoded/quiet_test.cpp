#include "apps/antipoded/quiet.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;

TEST(Quiet, IsWhatHasStoodStillForLongEnough) {
    ManualClock clock;
    Quiet quiet(clock);
    EXPECT_FALSE(quiet.look("1", false, 10s));
    clock.advance(9s);
    EXPECT_FALSE(quiet.look("1", false, 10s));
    clock.advance(1s);
    EXPECT_TRUE(quiet.look("1", false, 10s));
    EXPECT_FALSE(quiet.look("2", false, 10s)) << "it has moved";
    clock.advance(10s);
    EXPECT_FALSE(quiet.look("2", true, 10s)) << "it is about to move";
    clock.advance(10s);
    EXPECT_TRUE(quiet.look("2", false, 10s));
    quiet.forget();
    EXPECT_FALSE(quiet.look("2", false, 10s));
}

/// While the new primary is away nobody looks: what is lacking may come once it is back.
TEST(Quiet, IsNothingOfTheTimeInWhichNobodyLooked) {
    ManualClock clock;
    Quiet quiet(clock, 3s);
    EXPECT_FALSE(quiet.look("1", false, 10s));
    clock.advance(1h);
    EXPECT_FALSE(quiet.look("1", false, 10s));
    for (int i = 0; i < 2; ++i) {
        clock.advance(3s);
        EXPECT_FALSE(quiet.look("1", false, 10s));
    }
    clock.advance(1h);
    EXPECT_TRUE(quiet.look("1", false, 10s)) << "looks that take long are looks";
}

}  // namespace
}  // namespace antipode
