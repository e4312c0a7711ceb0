#include "base/growth.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;

class GrowthTest : public testing::Test {
  protected:
    void pass(std::chrono::seconds time, double each_second) {
        for (auto passed = 0s; passed < time; passed += 1s) {
            clock_.advance(1s);
            total_ += each_second;
            growth_.note(clock_.steady_now(), total_);
        }
    }
    ManualClock clock_;
    double total_ = 1e9;
    Growth growth_;
};

TEST_F(GrowthTest, IsUnknownUntilItWasMeasured) {
    pass(8s, 100);
    EXPECT_EQ(growth_.per_second(), std::nullopt);
    EXPECT_EQ(growth_.seconds_for(1000), std::nullopt);
    pass(10s, 100);
    EXPECT_DOUBLE_EQ(growth_.per_second().value_or(0), 100);
    EXPECT_DOUBLE_EQ(growth_.seconds_for(1000).value_or(0), 10);
    EXPECT_EQ(growth_.seconds_for(-5), 0) << "it is used up already";
}

TEST_F(GrowthTest, IsNeverUsedUpWhereNothingGrows) {
    pass(60s, 0);
    EXPECT_EQ(growth_.per_second(), 0);
    EXPECT_EQ(growth_.seconds_for(1000), std::nullopt);
}

TEST_F(GrowthTest, ForgetsWhatIsTenMinutesAgo) {
    pass(600s, 1'000'000);
    pass(700s, 10);
    EXPECT_DOUBLE_EQ(growth_.per_second().value_or(0), 10);
}

TEST_F(GrowthTest, BeginsAnewWithWhatIsCounted) {
    pass(60s, 100);
    total_ = 0;
    pass(6s, 7);
    EXPECT_EQ(growth_.per_second(), std::nullopt);
    pass(10s, 7);
    EXPECT_DOUBLE_EQ(growth_.per_second().value_or(0), 7);
}

}  // namespace
}  // namespace antipode
