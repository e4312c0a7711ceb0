#include "primary/database/wal_probe.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

/// A server that can be made to hang.
class FakeWal final : public WalPosition {
  public:
    Lsn flushed_end() override {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !hangs_; });
        if (broken_) {
            throw Error(Reaction::Retry, "connection refused");
        }
        return Lsn{++end_};
    }
    void set(bool hangs, bool broken) {
        std::scoped_lock lock(mutex_);
        hangs_ = hangs;
        broken_ = broken;
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool hangs_ = false;
    bool broken_ = false;
    uint64_t end_ = 100;
};

TEST(WalProbe, AnswersEachQuestionAfresh) {
    FakeWal wal;
    SystemClock clock;
    WalProbe probe(wal, clock, std::chrono::seconds(10));
    EXPECT_EQ(probe.flushed_end(), Lsn{101});
    EXPECT_EQ(probe.flushed_end(), Lsn{102});
    wal.set(false, true);
    EXPECT_THROW(probe.flushed_end(), Error);
    wal.set(false, false);
    EXPECT_EQ(probe.flushed_end(), Lsn{103});
}

TEST(WalProbe, AServerThatHangsHoldsUpNobody) {
    FakeWal wal;
    SystemClock clock;
    wal.set(true, false);
    WalProbe probe(wal, clock, std::chrono::milliseconds(20));
    EXPECT_THROW(probe.flushed_end(), Error);
    EXPECT_THROW(probe.flushed_end(), Error);
    wal.set(false, false);
    // What it says now is not the answer to an old question.
    while (true) {
        try {
            EXPECT_GE(probe.flushed_end().value, 102U);
            break;
        } catch (const Error&) {
        }
    }
}

}  // namespace
}  // namespace antipode::primary
