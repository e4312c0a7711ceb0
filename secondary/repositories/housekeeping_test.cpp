#include "secondary/repositories/housekeeping.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/memory_repositories.hpp"

namespace antipode::secondary {
namespace {

/// Remembers in what order houses were kept.
class NotedRepositories final : public test::MemoryRepositories {
  public:
    std::vector<std::string> kept;
    std::string broken;
    bool any_due = true;
    bool keep_house(const std::string& name, const std::stop_token&) override {
        kept.push_back(name);
        if (name == broken) {
            throw Error(Reaction::Retry, "cannot be kept");
        }
        return any_due;
    }
};

class HousekeepingTest : public testing::Test {
  protected:
    void step(int times) {
        for (int i = 0; i < times; ++i) {
            housekeeping_.step(stop_);
        }
    }
    NotedRepositories repositories_;
    ManualClock clock_;
    std::stop_token stop_;
    Housekeeping housekeeping_{repositories_, clock_};
    using Names = std::vector<std::string>;
};

TEST_F(HousekeepingTest, KeepsWhatChangedAndEverythingOnceADay) {
    repositories_.create("a", "sha1", stop_);
    repositories_.create("b", "sha1", stop_);
    step(3);
    EXPECT_EQ(repositories_.kept, (Names{"a", "b"}));
    housekeeping_.note("b");
    housekeeping_.note("b");
    step(1);
    EXPECT_EQ(repositories_.kept, (Names{"a", "b", "b"}));
    clock_.advance(std::chrono::hours(25));
    step(3);
    EXPECT_EQ(repositories_.kept, (Names{"a", "b", "b", "a", "b"}));
}

TEST_F(HousekeepingTest, LooksOnceSmallChangesHaveAddedUp) {
    repositories_.create("a", "sha1", stop_);
    step(2);
    repositories_.kept.clear();
    for (int i = 0; i < 7; ++i) {
        housekeeping_.note("a", 1000);
    }
    step(1);
    EXPECT_EQ(repositories_.kept, (Names{}));
    housekeeping_.note("a", 1000);
    step(1);
    EXPECT_EQ(repositories_.kept, (Names{"a"}));
    housekeeping_.note("a", 600'000);
    step(1);
    EXPECT_EQ(repositories_.kept, (Names{"a"}));
    housekeeping_.note("a", 600'000);
    step(1);
    EXPECT_EQ(repositories_.kept, (Names{"a", "a"}));
}

TEST_F(HousekeepingTest, LeavesAloneWhatWaitsUntilItIsNoted) {
    repositories_.create("a", "sha1", stop_);
    repositories_.create("b", "sha1", stop_);
    std::string waits = "a";
    Housekeeping housekeeping(repositories_, clock_,
                              [&](const std::string& name) { return name == waits; });
    for (int i = 0; i < 3; ++i) {
        housekeeping.step(stop_);
    }
    EXPECT_EQ(repositories_.kept, (Names{"b"}));
    EXPECT_FALSE(housekeeping.kept_since("a", TimePoint{}));
    waits.clear();
    housekeeping.note("a");
    housekeeping.step(stop_);
    EXPECT_EQ(repositories_.kept, (Names{"b", "a"}));
}

TEST_F(HousekeepingTest, KnowsWhatItMayHaveChangedAndSinceWhen) {
    repositories_.create("a", "sha1", stop_);
    repositories_.any_due = false;
    step(2);
    EXPECT_FALSE(housekeeping_.kept_since("a", clock_.now())) << "it only looked";
    repositories_.any_due = true;
    housekeeping_.note("a");
    step(1);
    EXPECT_TRUE(housekeeping_.kept_since("a", clock_.now()));
    EXPECT_FALSE(housekeeping_.kept_since("b", clock_.now()));
    const TimePoint ended = clock_.now();
    clock_.advance(std::chrono::minutes(1));
    EXPECT_TRUE(housekeeping_.kept_since("a", ended));
    EXPECT_FALSE(housekeeping_.kept_since("a", clock_.now()));
}

TEST_F(HousekeepingTest, OneThatAlwaysChangesAndOneThatFailsKeepUpNoOther) {
    for (const char* name : {"a", "b", "c"}) {
        repositories_.create(name, "sha1", stop_);
    }
    repositories_.broken = "b";
    step(1);
    for (int i = 0; i < 4; ++i) {
        housekeeping_.note("a");
        step(1);
    }
    EXPECT_EQ(repositories_.kept, (Names{"a", "b", "c", "a"}));
}

}  // namespace
}  // namespace antipode::secondary
