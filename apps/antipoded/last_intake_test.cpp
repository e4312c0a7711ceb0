#include "apps/antipoded/last_intake.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

using namespace std::chrono_literals;
using Step = LastIntake::Step;

class LastIntakeTest : public testing::Test {
  protected:
    /// What is seen once more, a second later.
    Step next() {
        clock_.advance(1s);
        return intake_.next(operation_, seen_);
    }
    /// Messages come, are taken in, and the lanes move on: markers, of an old primary that lives.
    void a_marker_comes() {
        ++number_;
        seen_.came = seen_.taken = {1, 1, number_};
        seen_.places = std::to_string(number_);
    }
    void a_row_comes() {
        a_marker_comes();
        seen_.work = std::to_string(number_);
    }
    /// Seconds until it is something else than to wait; `comes` each second.
    int wait(const std::function<void()>& comes, Step expected) {
        for (int seconds = 1; seconds < 100; ++seconds) {
            comes();
            const Step step = next();
            if (step != Step::Wait) {
                EXPECT_EQ(step, expected);
                return seconds;
            }
        }
        ADD_FAILURE() << "it waits without an end";
        return 0;
    }

    ManualClock clock_;
    LastIntake intake_{clock_};
    LastIntake::Seen seen_;
    std::string operation_ = "promote-1";
    uint64_t number_ = 1;
};

TEST_F(LastIntakeTest, EndsWhenNothingMoves) {
    seen_.came = seen_.taken = {1, 1, 9};
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found_nothing();
    EXPECT_EQ(next(), Step::End) << "it rests since then";
    intake_.end_at({1, 1, 9});
    EXPECT_EQ(next(), Step::Cut);
}

TEST_F(LastIntakeTest, EndsThoughMarkersComeForEver) {
    const auto marker = [this] { a_marker_comes(); };
    EXPECT_LE(wait(marker, Step::Look), 3);
    intake_.found({1, 1, number_ + 5});
    EXPECT_LE(wait(marker, Step::End), 10);
    intake_.end_at(seen_.taken);
    // They come, and are not taken in.
    EXPECT_LE(wait([] {}, Step::Cut), 3);
}

TEST_F(LastIntakeTest, EndsThoughTheOldPrimaryWritesForEver) {
    const auto row = [this] { a_row_comes(); };
    const int looked = wait(row, Step::Look);
    EXPECT_GE(looked, 20) << "what comes is wanted";
    EXPECT_LE(looked, 21);
    EXPECT_FALSE(intake_.rests());
    intake_.found({1, 1, number_ + 30});
    EXPECT_GE(wait(row, Step::End), 30) << "all of what was found is";
    intake_.end_at(seen_.taken);
    // What has come is applied, however long that takes.
    seen_.at_work = true;
    for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(next(), Step::Wait);
    }
    seen_.at_work = false;
    EXPECT_LE(wait([] {}, Step::Cut), 3);
}

TEST_F(LastIntakeTest, WaitsForWhatIsFetchedWhileItComes) {
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found({1, 1, 1000});
    for (int i = 0; i < 50; ++i) {
        number_ += 10;
        a_marker_comes();
        for (int j = 0; j < 15; ++j) {
            ASSERT_EQ(next(), Step::Wait);
        }
    }
    const int waited = wait([] {}, Step::End);
    EXPECT_GE(waited, 5 + 2);
    EXPECT_LE(waited, 5 + 3) << "the rest cannot be had";
}

TEST_F(LastIntakeTest, WaitsForLargeContentWhileItComes) {
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found_nothing();
    seen_.to_pull = 100;
    seen_.pulls_more = true;
    EXPECT_LE(wait([] {}, Step::End), 3) << "nothing more is taken in meanwhile";
    intake_.end_at({});
    for (int i = 0; i < 99; ++i) {
        --seen_.to_pull;
        for (int j = 0; j < LastIntake::pulling_time.count() - 5; ++j) {
            ASSERT_EQ(next(), Step::Wait);
        }
    }
    // It begins anew again and again.
    int turn = 0;
    const int waited = wait([&] { seen_.to_pull = 50 + ++turn % 2; }, Step::Cut);
    EXPECT_GE(waited, 5);
    EXPECT_LE(waited, 5 + 2) << "the rest cannot be had";
}

TEST_F(LastIntakeTest, DoesNotWaitForWhatNobodyHas) {
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found_nothing();
    seen_.to_pull = 100;
    EXPECT_LE(wait([] {}, Step::End), 3);
    intake_.end_at({});
    EXPECT_LE(wait([] {}, Step::Cut), 3);
}

TEST_F(LastIntakeTest, ReadsWhatCameLastBeforeItCuts) {
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found_nothing();
    EXPECT_EQ(next(), Step::End);
    intake_.end_at({1, 1, 9});  // of which nothing is taken in yet
    EXPECT_EQ(next(), Step::Wait);
    seen_.taken = {1, 1, 9};
    EXPECT_EQ(next(), Step::Cut);
}

TEST_F(LastIntakeTest, BeginsAnewWithAnotherPromotion) {
    EXPECT_LE(wait([] {}, Step::Look), 3);
    intake_.found_nothing();
    EXPECT_EQ(next(), Step::End);
    intake_.end_at({});
    operation_ = "promote-2";
    EXPECT_LE(wait([] {}, Step::Look), 3);
}

}  // namespace
}  // namespace antipode
