#include "adapters/git/house_turns.hpp"

#include <future>
#include <thread>

#include <gtest/gtest.h>

namespace antipode::git {
namespace {

using namespace std::chrono_literals;

constexpr auto at_once = 0ms;
constexpr auto until_it_ends = 1min;

TEST(HouseTurns, OneKeepsHouseInARepositoryAtATime) {
    HouseTurns turns;
    const auto turn = turns.begin("a", at_once, {});
    ASSERT_NE(turn, nullptr);
    EXPECT_EQ(turns.begin("a", at_once, {}), nullptr);
    EXPECT_EQ(turns.begin("a", 1ms, {}), nullptr);
    EXPECT_NE(turns.begin("b", at_once, {}), nullptr);
    EXPECT_FALSE(turn->token().stop_requested()) << "who waits for it must not end it";
}

TEST(HouseTurns, WhoIsPatientComesNext) {
    HouseTurns turns;
    auto turn = turns.begin("a", at_once, {});
    auto next = std::async(std::launch::async,
                           [&] { return turns.begin("a", until_it_ends, {}) != nullptr; });
    turn.reset();
    EXPECT_TRUE(next.get());
    EXPECT_NE(turns.begin("a", at_once, {}), nullptr);
}

TEST(HouseTurns, NobodyIsPatientWhenAllEnds) {
    HouseTurns turns;
    const auto turn = turns.begin("a", at_once, {});
    std::stop_source all;
    auto next = std::async(std::launch::async, [&] {
        return turns.begin("a", until_it_ends, all.get_token()) != nullptr;
    });
    all.request_stop();
    EXPECT_FALSE(next.get());
}

TEST(HouseTurns, WhoTakesTheRepositoryAwayEndsTheTurn) {
    HouseTurns turns;
    auto turn = turns.begin("a", at_once, {});
    std::jthread leaver;
    const std::stop_callback leaves(turn->token(),
                                    [&] { leaver = std::jthread([&] { turn.reset(); }); });
    const auto taken = turns.take("a");
    EXPECT_EQ(turns.begin("a", at_once, {}), nullptr);
}

}  // namespace
}  // namespace antipode::git
