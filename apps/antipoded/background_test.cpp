#include "apps/antipoded/background.hpp"

#include <atomic>

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;

/// Lets a test wait until the work has noted when it ended.
class WatchedClock final : public Clock {
  public:
    TimePoint now() const override { return clock_.now(); }
    SteadyTime steady_now() const override {
        const SteadyTime time = clock_.steady_now();
        ++looks_;
        looks_.notify_all();
        return time;
    }
    void advance(std::chrono::seconds by) { clock_.advance(by); }
    void await_look() const { looks_.wait(0); }

  private:
    ManualClock clock_;
    mutable std::atomic<int> looks_ = 0;
};

template <typename Result, typename Work>
Result ended(Background<Result>& background, const std::string& subject, const Work& work) {
    while (true) {
        if (auto result = background.poll(subject, work)) {
            return *result;
        }
        std::this_thread::yield();
    }
}

TEST(Background, HandsAResultOverOnce) {
    const ManualClock clock;
    std::atomic<int> begun = 0;
    Background<int> background(clock, 5s);
    const auto work = [&](const std::stop_token&) { return ++begun; };
    EXPECT_EQ(ended(background, "a", work), 1);
    EXPECT_EQ(ended(background, "a", work), 2);
}

TEST(Background, DoesNotBelieveAResultThatWasNotAskedForInTime) {
    WatchedClock clock;
    std::atomic<int> begun = 0;
    Background<int> background(clock, 5s);
    const auto work = [&](const std::stop_token&) { return ++begun; };
    EXPECT_EQ(background.poll("a", work), std::nullopt);
    clock.await_look();
    clock.advance(6s);
    EXPECT_EQ(ended(background, "a", work), 2);
}

TEST(Background, EndsWorkOnAnotherSubjectAndDoesNotBelieveItsResult) {
    const ManualClock clock;
    Background<std::string> background(clock, 5s);
    EXPECT_EQ(background.poll("promote-1",
                              [](const std::stop_token& stop) {
                                  while (!stop.stop_requested()) {
                                      std::this_thread::yield();
                                  }
                                  return std::string("of promote-1");
                              }),
              std::nullopt);
    EXPECT_EQ(ended(background, "promote-2",
                    [](const std::stop_token&) { return std::string("of promote-2"); }),
              "of promote-2");
}

TEST(Background, ThrowsWhatTheWorkThrewForAWhileButNotForAnotherSubject) {
    ManualClock clock;
    std::atomic<int> begun = 0;
    Background<int> background(clock, 5s);
    const auto fails = [&](const std::stop_token&) -> int {
        ++begun;
        throw std::runtime_error("no");
    };
    EXPECT_THROW(ended(background, "a", fails), std::runtime_error);
    EXPECT_THROW(background.poll("a", fails), std::runtime_error);
    EXPECT_EQ(begun, 1);
    const auto works = [](const std::stop_token&) { return 7; };
    EXPECT_EQ(ended(background, "b", works), 7);
    EXPECT_THROW(ended(background, "a", fails), std::runtime_error);
    clock.advance(6s);
    EXPECT_EQ(ended(background, "a", works), 7);
}

}  // namespace
}  // namespace antipode
