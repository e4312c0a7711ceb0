#include "adapters/postgres/sequence_headroom.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

constexpr int64_t smallest = std::numeric_limits<int64_t>::min();
constexpr int64_t largest = std::numeric_limits<int64_t>::max();

SequenceValue at(int64_t value, bool called = true) {
    return {{"public", "s"}, value, called};
}

TEST(SequenceHeadroom, IsCountedInTheSequencesOwnSteps) {
    EXPECT_EQ(moved_ahead({1, 1, largest, false}, at(41), 1000), 1041);
    EXPECT_EQ(moved_ahead({5, 1, largest, false}, at(11), 3), 26);
    EXPECT_EQ(moved_ahead({-2, smallest, -1, false}, at(-1), 10), -21);
}

TEST(SequenceHeadroom, CountsTheFirstNumberOfASequenceThatWasNeverUsed) {
    EXPECT_EQ(moved_ahead({1, 1, largest, false}, at(1, false), 1), 1);
    EXPECT_EQ(moved_ahead({10, 1, largest, false}, at(7, false), 3), 27);
    EXPECT_EQ(moved_ahead({1, 1, 3, false}, at(1, false), 3), 3);
    EXPECT_EQ(moved_ahead({1, 1, 3, false}, at(1, false), 4), std::nullopt);
}

TEST(SequenceHeadroom, NeverPassesTheEnd) {
    EXPECT_EQ(moved_ahead({1, 1, 100, false}, at(90), 10), 100);
    EXPECT_EQ(moved_ahead({1, 1, 100, false}, at(90), 11), std::nullopt);
    EXPECT_EQ(moved_ahead({4, 1, 100, false}, at(90), 2), 98);
    EXPECT_EQ(moved_ahead({4, 1, 100, false}, at(90), 3), std::nullopt);
    EXPECT_EQ(moved_ahead({-3, -10, 10, false}, at(-4), 2), -10);
    EXPECT_EQ(moved_ahead({-3, -10, 10, false}, at(-4), 3), std::nullopt);
}

TEST(SequenceHeadroom, BeginsAnewWhereTheSequenceDoes) {
    // 6, 7, 3, 4
    EXPECT_EQ(moved_ahead({1, 3, 7, true}, at(5), 4), 4);
    // -9, 10, 7
    EXPECT_EQ(moved_ahead({-3, -10, 10, true}, at(-6), 3), 7);
    EXPECT_EQ(moved_ahead({1, 3, 7, true}, at(7), 4), 6);
    EXPECT_EQ(moved_ahead({1, 3, 7, true}, at(7), 5), std::nullopt) << "all it has";
}

TEST(SequenceHeadroom, HoldsAtTheEndsOfAllNumbers) {
    EXPECT_EQ(moved_ahead({1, smallest, largest, false}, at(smallest), 1'000'000'000),
              smallest + 1'000'000'000);
    EXPECT_EQ(moved_ahead({1, smallest, largest, false}, at(largest - 1), 1), largest);
    EXPECT_EQ(moved_ahead({1, smallest, largest, false}, at(largest - 1), 2), std::nullopt);
    EXPECT_EQ(moved_ahead({1, smallest, largest, true}, at(largest - 1), 2), smallest);
    EXPECT_EQ(moved_ahead({smallest, smallest, largest, false}, at(0), 1), smallest);
    EXPECT_EQ(moved_ahead({largest, 0, largest, false}, at(0), 2), std::nullopt);
}

}  // namespace
}  // namespace antipode::postgres
