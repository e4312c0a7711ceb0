#include "base/channel.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;

TEST(Channel, RefusesWhatDoesNotFitAndLeavesItWithTheCaller) {
    Channel<std::string> channel(10);
    std::string first = "first";
    std::string second = "second";
    EXPECT_TRUE(channel.push(first, 6, 0ms, {}));
    EXPECT_FALSE(channel.push(second, 6, 0ms, {}));
    EXPECT_EQ(second, "second");
    EXPECT_EQ(channel.take(5, 0ms, {}), std::vector<std::string>{"first"});
    EXPECT_TRUE(channel.push(second, 6, 0ms, {}));
}

TEST(Channel, TakesOneElementThatIsLargerThanItsCapacity) {
    Channel<int> channel(10);
    int value = 1;
    EXPECT_TRUE(channel.push(value, 1000, 0ms, {}));
}

TEST(Channel, StopEndsAWaitingTake) {
    Channel<int> channel(1);
    std::jthread reader(
        [&](const std::stop_token& stop) { EXPECT_TRUE(channel.take(1, 1h, stop).empty()); });
    reader.request_stop();
}

TEST(Channel, PokeEndsTheNextTakeEvenWhenItCameFirst) {
    Channel<int> channel(1);
    channel.poke();
    EXPECT_TRUE(channel.take(1, 1h, {}).empty());
}

}  // namespace
}  // namespace antipode
