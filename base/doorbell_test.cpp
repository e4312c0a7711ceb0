#include "base/doorbell.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace antipode {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(Doorbell, WakesWhoWaits) {
    Doorbell bell;
    std::jthread ringer([&bell] { bell.ring(); });
    EXPECT_TRUE(bell.wait(hours(1), {}));
}

TEST(Doorbell, IsHeardByWhoComesLater) {
    Doorbell bell;
    bell.ring();
    EXPECT_TRUE(bell.wait(hours(1), {}));
    EXPECT_FALSE(bell.wait(milliseconds(1), {}));
}

/// What was told of may not be there yet: whoever was woken looks again without another ring.
TEST(Doorbell, IsNotWaitedForLongBehindARing) {
    Doorbell bell;
    bell.ring();
    EXPECT_TRUE(bell.wait(hours(1), {}));
    EXPECT_FALSE(bell.wait(hours(1), {}));
}

TEST(Doorbell, LetsGoOfWhoeverIsStopped) {
    Doorbell bell;
    std::stop_source stop;
    std::jthread stopper([&stop] { stop.request_stop(); });
    EXPECT_FALSE(bell.wait(hours(1), stop.get_token()));
}

}  // namespace
}  // namespace antipode
