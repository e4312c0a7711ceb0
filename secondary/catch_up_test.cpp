#include "secondary/catch_up.hpp"

#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

using namespace std::chrono_literals;

class CatchUpTest : public testing::Test {
  protected:
    /// For a while so much of the primary's time is applied in each second.
    void pass(std::chrono::seconds time, std::chrono::milliseconds applied_in_a_second) {
        for (auto passed = 0s; passed < time; passed += 1s) {
            clock_.advance(1s);
            applied_through_ += applied_in_a_second;
            catch_up_.note(clock_.steady_now(), applied_through_);
            catch_up_.note(clock_.steady_now(), applied_through_);
        }
    }
    ManualClock clock_;
    TimePoint applied_through_ = clock_.now() - 1h;
    CatchUp catch_up_;
};

TEST_F(CatchUpTest, IsUnknownUntilItWasMeasured) {
    EXPECT_EQ(catch_up_.rate(), std::nullopt);
    EXPECT_EQ(catch_up_.seconds_left(3600), std::nullopt);
    EXPECT_EQ(catch_up_.seconds_left(1), 0) << "nothing to catch up with";
    pass(4s, 5s);
    EXPECT_EQ(catch_up_.rate(), std::nullopt);
}

TEST_F(CatchUpTest, IsTheBacklogOverWhatIsGained) {
    pass(10s, 5s);
    EXPECT_DOUBLE_EQ(catch_up_.rate().value_or(0), 5);
    EXPECT_DOUBLE_EQ(catch_up_.seconds_left(3600).value_or(0), 900);
}

TEST_F(CatchUpTest, IsNeverWhereTheBacklogStandsOrGrows) {
    for (const auto applied : {1000ms, 500ms, 0ms}) {
        pass(120s, applied);
        EXPECT_DOUBLE_EQ(catch_up_.rate().value_or(-1),
                         static_cast<double>(applied.count()) / 1000);
        EXPECT_EQ(catch_up_.seconds_left(3600), std::nullopt);
    }
}

TEST_F(CatchUpTest, ForgetsWhatIsLongerAgoThanAMinute) {
    pass(600s, 500ms);
    pass(61s, 3s);
    EXPECT_DOUBLE_EQ(catch_up_.rate().value_or(0), 3);
}

TEST_F(CatchUpTest, BeginsAnewWhenTheLaneDoes) {
    pass(10s, 5s);
    applied_through_ -= 1h;
    pass(1s, 1s);
    EXPECT_EQ(catch_up_.rate(), std::nullopt);
}

}  // namespace
}  // namespace antipode::secondary
