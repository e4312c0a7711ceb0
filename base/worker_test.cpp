#include "base/worker.hpp"

#include <semaphore>

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;

TEST(Worker, RunsItsBodyAgainAfterAnErrorAndRecovers) {
    ManualClock clock;
    std::atomic<int> runs = 0;
    std::binary_semaphore recovered(0);
    Worker worker(
        "test", clock,
        [&](const std::stop_token& stop, Worker::Progress progress) {
            if (++runs < 3) {
                throw Error(Reaction::Retry, "server is away", "start it");
            }
            progress.healthy();
            recovered.release();
            sleep_unless_stopped(1h, stop);
        },
        Backoff(1ms, 2ms));
    recovered.acquire();
    EXPECT_TRUE(worker.state().healthy);
    EXPECT_EQ(worker.state().problem, "");
    EXPECT_EQ(runs, 3);
}

TEST(Worker, ShowsWhatItWaitsForAndTheNextStep) {
    ManualClock clock;
    std::binary_semaphore failed(0);
    std::atomic<int> runs = 0;
    Worker worker(
        "test", clock,
        [&](const std::stop_token&, Worker::Progress) {
            if (++runs == 2) {
                failed.release();
            }
            throw Error(Reaction::Stop, "disk is full", "make room");
        },
        Backoff(1ms, 1ms));
    failed.acquire();
    const WorkerState state = worker.state();
    EXPECT_FALSE(state.healthy);
    EXPECT_EQ(state.problem, "disk is full");
    EXPECT_EQ(state.next_step, "make room");
}

}  // namespace
}  // namespace antipode
