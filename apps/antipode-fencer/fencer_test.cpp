#include "apps/antipode-fencer/fencer.hpp"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using namespace std::chrono_literals;
using failover::LeaseFile;
using testing::HasSubstr;

/// A site with repositories and files, whose service is a file: it runs while that is there.
class OfASite : public testing::Test {
  protected:
    OfASite() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = directory_ / "state";
        std::filesystem::create_directories(config_.state_dir);
        config_.repositories = {{"git", directory_ / "git"}, {"wiki", directory_ / "wiki"}};
        config_.blobs.emplace_back().name = "uploads";
        config_.failover.fence_command = {"/bin/rm", "-f", service().string()};
        config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
        config_.failover.write_check_command = {"/usr/bin/test", "-e", service().string()};
        test::write_file(service(), "");
    }
    std::filesystem::path service() const { return directory_ / "service"; }
    std::filesystem::path hook(const char* store) const { return hook_fence(config_, store); }
    bool runs() const { return std::filesystem::exists(service()); }
    /// antipoded has renewed the lease.
    void renew(std::chrono::seconds time = 15s, bool meant_open = true) {
        failover::write_lease_file(
            config_.state_dir,
            {failover::boot_id(), clock_.boot_now() + time, meant_open, 1, "london"});
    }
    void expect_closed() {
        EXPECT_FALSE(runs());
        EXPECT_TRUE(std::filesystem::exists(hook("git")));
        EXPECT_TRUE(std::filesystem::exists(hook("wiki")));
    }
    void expect_open() {
        EXPECT_TRUE(runs());
        EXPECT_FALSE(std::filesystem::exists(hook("git")));
        EXPECT_FALSE(std::filesystem::exists(hook("wiki")));
    }

    test::TemporaryDirectory directory_;
    ManualClock clock_;
    Config config_;
    std::unique_ptr<Fencer> fencer_ = std::make_unique<Fencer>(config_, clock_);
};

TEST_F(OfASite, IsClosedThreeSecondsBeforeItsLeaseEndsAndOpenWhenItHoldsAgain) {
    EXPECT_TRUE(fencer_->step());
    expect_open();
    EXPECT_EQ(fencer_->said().state, "idle") << "it has held no lease yet";
    renew();
    clock_.advance(11s);
    EXPECT_TRUE(fencer_->step());
    expect_open();
    EXPECT_EQ(fencer_->said().state, "watching");
    clock_.advance(1s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    EXPECT_EQ(fencer_->said().state, "closed");
    EXPECT_THAT(test::read_file(hook("git")), HasSubstr("takes no writes"));
    clock_.advance(60s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    renew();
    EXPECT_TRUE(fencer_->step());
    expect_open();
    EXPECT_FALSE(failover::read_closed_file(config_.state_dir));
}

TEST_F(OfASite, IsClosedWithALeaseThatCannotBeRead) {
    test::write_file(config_.state_dir / "lease", "");
    EXPECT_TRUE(fencer_->step());
    expect_closed();
}

TEST_F(OfASite, IsClosedAlsoWhereNothingCanBeWrittenDown) {
    renew();
    EXPECT_TRUE(fencer_->step());
    const auto in_the_way = config_.state_dir / "fencer.closed";
    test::write_file(in_the_way / "x", "");
    std::filesystem::remove(config_.state_dir / "fencer");
    test::write_file(config_.state_dir / "fencer" / "x", "");
    clock_.advance(15s);
    EXPECT_FALSE(fencer_->step());
    expect_closed();
    renew();
    std::filesystem::remove_all(in_the_way);
    EXPECT_TRUE(fencer_->step()) << fencer_->said().problem;
    expect_open();
}

TEST_F(OfASite, OpensNothingThatItClosedInAnEarlierEpoch) {
    renew(0s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    failover::write_lease_file(config_.state_dir,
                               {failover::boot_id(), clock_.boot_now() + 15s, true, 3, "london"});
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    EXPECT_FALSE(failover::read_closed_file(config_.state_dir));
}

TEST_F(OfASite, OpensOnlyWhatItHasClosedAlsoAfterItWasKilled) {
    test::write_file(hook("wiki"), "closed for repairs\n");
    renew(0s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    fencer_ = std::make_unique<Fencer>(config_, clock_);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    renew();
    fencer_ = std::make_unique<Fencer>(config_, clock_);
    EXPECT_TRUE(fencer_->step());
    EXPECT_TRUE(runs());
    EXPECT_FALSE(std::filesystem::exists(hook("git")));
    EXPECT_EQ(test::read_file(hook("wiki")), "closed for repairs\n");
    // And nothing that it has never closed.
    test::write_file(hook("git"), "closed for repairs\n");
    EXPECT_TRUE(fencer_->step());
    EXPECT_TRUE(std::filesystem::exists(hook("git")));
}

TEST_F(OfASite, IsClosedAfterABootUntilItHoldsALeaseOfThatBoot) {
    failover::write_lease_file(config_.state_dir,
                               {"the boot before", clock_.boot_now() + 1h, true, 1, "london"});
    EXPECT_THAT(describe_lease(config_, clock_),
                HasSubstr("of an earlier boot; writes are refused"));
    expect_open();
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    renew();
    EXPECT_TRUE(fencer_->step());
    expect_open();
}

TEST_F(OfASite, ThatIsNotMeantToBeOpenIsTheDaemonsBusiness) {
    renew(0s, false);
    EXPECT_TRUE(fencer_->step());
    expect_open();
    renew(0s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    // It was fenced by a later epoch meanwhile.
    renew(15s, false);
    EXPECT_TRUE(fencer_->step());
    EXPECT_FALSE(failover::read_closed_file(config_.state_dir));
    renew(15s, true);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
}

TEST_F(OfASite, IsTriedAgainUntilTheFencesHold) {
    const auto good = config_.failover.fence_command;
    config_.failover.fence_command = {"/bin/false"};
    renew(0s);
    EXPECT_FALSE(fencer_->step());
    EXPECT_THAT(fencer_->said().problem, HasSubstr("fence_command failed"));
    EXPECT_TRUE(std::filesystem::exists(hook("git"))) << "one that fails keeps back the others";
    EXPECT_EQ(failover::read_fencer_file(config_.state_dir)->state, "closing");
    config_.failover.fence_command = good;
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    // Somebody starts the service by hand.
    test::write_file(service(), "");
    clock_.advance(5s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    // It cannot be started when the lease is back: then that is tried again, too.
    config_.failover.unfence_command = {"/bin/false"};
    renew();
    EXPECT_FALSE(fencer_->step());
    config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
    EXPECT_TRUE(fencer_->step());
    expect_open();
}

TEST_F(OfASite, IsClosedAlsoWhileAStoppedDaemonHoldsTheLock) {
    const failover::FenceLock daemons(config_.state_dir);
    renew(0s);
    EXPECT_TRUE(fencer_->step());
    expect_closed();
}

TEST_F(OfASite, SaysBeforeItHasToWhenNothingCouldBeClosed) {
    config_.failover.fence_command.clear();
    config_.failover.write_check_command.clear();
    renew();
    EXPECT_FALSE(fencer_->step());
    EXPECT_EQ(fencer_->said().state, "watching");
    EXPECT_THAT(fencer_->said().problem, HasSubstr("nothing stops writes to blobs/uploads"));
}

/// Whose service takes for ever to start.
class OfASiteThatStarts : public OfASite {
  protected:
    OfASiteThatStarts() {
        test::must_run({"mkfifo", never().string()});
        renew(0s);
        EXPECT_TRUE(fencer_->step());
        expect_closed();
        renew();
    }
    std::filesystem::path never() const { return directory_ / "never"; }
    std::filesystem::path begun() const { return directory_ / "begun"; }
    /// It runs, and does not end by itself. `more`: of the shell that runs it.
    void start_for_ever(const std::string& more) {
        config_.failover.unfence_command = {
            "/bin/sh", "-c",
            more + "touch " + service().string() + " " + begun().string() + "; read x < " +
                never().string() + "; read x < " + never().string()};
        step_ = std::async(std::launch::async, [this] { return fencer_->step(); });
        ASSERT_TRUE(test::eventually([&] { return std::filesystem::exists(begun()); }));
        EXPECT_FALSE(std::filesystem::exists(hook("git")));
        EXPECT_TRUE(runs());
    }
    /// One step both ends what is being opened and closes what was.
    void expect_closed_soon() {
        const auto ended = std::chrono::steady_clock::now();
        EXPECT_TRUE(step_.get()) << fencer_->said().problem;
        EXPECT_LT(std::chrono::steady_clock::now() - ended, 3s);
        expect_closed();
        EXPECT_EQ(fencer_->said().state, "closed");
    }

    std::future<bool> step_;
};

TEST_F(OfASiteThatStarts, IsClosedAgainWhenItsLeaseEndsMeanwhile) {
    start_for_ever("");
    clock_.advance(12s);
    expect_closed_soon();
    config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
    renew();
    EXPECT_TRUE(fencer_->step()) << fencer_->said().problem;
    expect_open();
}

TEST_F(OfASiteThatStarts, IsClosedAgainAlsoWhenItsCommandHeedsNoSignal) {
    start_for_ever("trap '' TERM; ");
    clock_.advance(12s);
    expect_closed_soon();
}

TEST_F(OfASite, WhoseLeaseCouldNotBeReadIsOpenedWhenItCan) {
    test::write_file(config_.state_dir / "lease", "");
    EXPECT_TRUE(fencer_->step());
    expect_closed();
    renew();
    EXPECT_TRUE(fencer_->step());
    expect_open();
}

}  // namespace
}  // namespace antipode
