#include "secondary/latencies.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

using namespace std::chrono_literals;

class LatenciesTest : public testing::Test {
  protected:
    void note(std::chrono::microseconds took, int times = 1) {
        for (int i = 0; i < times; ++i) {
            latencies_.note(clock_.steady_now(), took);
        }
    }
    std::optional<Latencies::Percentiles> lately() const {
        return latencies_.lately(clock_.steady_now());
    }
    ManualClock clock_;
    Latencies latencies_;
};

TEST_F(LatenciesTest, AreUnknownUntilSomethingWasApplied) {
    EXPECT_FALSE(lately());
    note(2s);
    EXPECT_TRUE(lately());
}

TEST_F(LatenciesTest, ArePercentilesOfWhatWasApplied) {
    note(100ms, 90);
    note(10s, 8);
    note(1h, 2);
    const auto found = lately();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->changes, 100U);
    EXPECT_THAT(found->p50_seconds, testing::AllOf(testing::Ge(0.1), testing::Le(0.12)));
    EXPECT_THAT(found->p95_seconds, testing::AllOf(testing::Ge(10), testing::Le(12)));
    EXPECT_THAT(found->p99_seconds, testing::AllOf(testing::Ge(3600), testing::Le(4320)));
}

TEST_F(LatenciesTest, AreNeverTooLowAndAtMostAFifthTooHigh) {
    const unsigned seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::lognormal_distribution<double> seconds(0, 2);
    std::vector<double> all;
    for (int i = 0; i < 10'000; ++i) {
        const auto took = std::chrono::microseconds(static_cast<int64_t>(seconds(random) * 1e6));
        note(took);
        all.push_back(std::max(0.001, std::chrono::duration<double>(took).count()));
    }
    std::sort(all.begin(), all.end());
    const auto found = lately();
    ASSERT_TRUE(found);
    for (const auto& [part, said] :
         {std::pair(0.50, found->p50_seconds), std::pair(0.95, found->p95_seconds),
          std::pair(0.99, found->p99_seconds)}) {
        const double exact = all[static_cast<size_t>(part * 10'000) - 1];
        EXPECT_GE(said, exact * 0.999999) << part;
        EXPECT_LE(said, exact * 1.2) << part;
    }
}

TEST_F(LatenciesTest, ForgetWhatIsOlderThanAnHour) {
    note(10s, 1000);
    clock_.advance(30min);
    note(1s, 10);
    EXPECT_EQ(lately()->changes, 1010U);
    clock_.advance(35min);
    EXPECT_EQ(lately()->changes, 10U) << "also when nothing was applied meanwhile";
    EXPECT_LT(lately()->p99_seconds, 1.2);
    clock_.advance(10h);
    EXPECT_FALSE(lately());
    note(2s);
    EXPECT_EQ(lately()->changes, 1U);
}

TEST_F(LatenciesTest, CountEverythingSinceTheStart) {
    note(-5s);  // the clocks differ
    note(4ms);
    note(4100us);
    note(1024ms, 3);
    note(1000h);
    clock_.advance(10h);
    const auto total = latencies_.total();
    const auto& bounds = Latencies::bounds();
    ASSERT_EQ(bounds.size(), 22U);
    ASSERT_EQ(total.counts.size(), 23U);
    EXPECT_DOUBLE_EQ(bounds.front(), 0.004);
    EXPECT_DOUBLE_EQ(bounds[8], 1.024);
    EXPECT_EQ(total.counts[0], 2);
    EXPECT_EQ(total.counts[1], 1);
    EXPECT_EQ(total.counts[8], 3);
    EXPECT_EQ(total.counts[22], 1);
    EXPECT_NEAR(total.sum_seconds, 0.0081 + 3 * 1.024 + 3'600'000, 0.001);
}

}  // namespace
}  // namespace antipode::secondary
