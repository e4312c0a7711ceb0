#include "base/state_lock.hpp"

#include <future>
#include <optional>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using namespace std::chrono_literals;

TEST(StateLock, IsRefusedToASecondOfTheSameProgram) {
    const test::TemporaryDirectory directory;
    const StateLock first(directory.path(), "antipoded", "lock");
    EXPECT_THROW(StateLock(directory.path(), "antipoded", "lock"), Error);
    EXPECT_NO_THROW(StateLock(directory.path(), "antipode-fencer", "fencer.lock"));
}

TEST(StateLock, WaitsForWhatAKilledDaemonLeftBehind) {
    const test::TemporaryDirectory directory;
    std::optional<StateLock> left_behind(std::in_place, directory.path(), "antipoded", "lock");
    auto next = std::async(std::launch::async,
                           [&] { const StateLock lock(directory.path(), "antipoded", "lock"); });
    EXPECT_EQ(next.wait_for(50ms), std::future_status::timeout);
    left_behind.reset();
    EXPECT_NO_THROW(next.get());
}

}  // namespace
}  // namespace antipode
