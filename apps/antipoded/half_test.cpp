#include "apps/antipoded/half.hpp"

#include <atomic>
#include <chrono>

#include <gtest/gtest.h>

namespace antipode {
namespace {

TEST(WorkersTest, WhoRunsMayAskForAllWhileOthersAreAddedAndWhileTheyEnd) {
    const SystemClock clock;
    constexpr size_t count = 200;
    std::atomic<size_t> seen = 0;
    {
        Workers workers(clock);
        const auto ask = [&](const std::stop_token&) {
            for (const WorkerState& state : workers.states()) {
                seen += state.name.size() == 6 ? 1 : 0;
            }
            seen.notify_one();
        };
        workers.loop("asking", ask);
        for (size_t i = 0; i < count; ++i) {
            workers.loop("worker", [](const std::stop_token& stop) {
                sleep_unless_stopped(std::chrono::seconds(60), stop);
            });
        }
        EXPECT_EQ(workers.states().size(), count + 1);
        seen.wait(0);
    }
}

}  // namespace
}  // namespace antipode
