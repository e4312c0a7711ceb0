#include "apps/antipoded/lease_guard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/places.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A site whose service is a file, and whose fencer is the file that it writes.
class AGuardedSite : public testing::Test {
  protected:
    AGuardedSite() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = directory_ / "state";
        std::filesystem::create_directories(config_.state_dir);
        config_.repositories = {{"git", directory_ / "git"}};
        config_.blobs.emplace_back().name = "uploads";
        config_.failover.fence_command = {"/bin/rm", "-f", service().string()};
        config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
        config_.failover.write_check_command = {"/usr/bin/test", "-e", service().string()};
        test::write_file(service(), "");
    }
    std::filesystem::path service() const { return directory_ / "service"; }
    std::filesystem::path hook() const { return hook_fence(config_, "git"); }
    bool is_open() const {
        return std::filesystem::exists(service()) && !std::filesystem::exists(hook());
    }
    bool is_closed() const {
        return !std::filesystem::exists(service()) && std::filesystem::exists(hook());
    }
    void renew(std::chrono::seconds time = 15s) {
        failover::write_lease_file(config_.state_dir,
                                   {boot_, clock_.boot_now() + time, true, 1, "london"});
    }
    void fencer_says(const std::string& state) {
        failover::write_fencer_file(config_.state_dir, {boot_, clock_.boot_now(), state, ""});
    }

    test::TemporaryDirectory directory_;
    ManualClock clock_;
    const std::string boot_ = failover::boot_id();
    Config config_;
    LeaseGuard guard_{config_, clock_};
};

TEST_F(AGuardedSite, IsClosedByItsDaemonWhenItsLeaseEndsAndNoFencerRuns) {
    renew();
    fencer_says("watching");
    guard_.step();
    clock_.advance(11s);
    guard_.step();
    EXPECT_TRUE(is_open()) << "the lease holds, whether a fencer runs or not";
    clock_.advance(1s);
    guard_.step();
    EXPECT_TRUE(is_closed());
    EXPECT_TRUE(guard_.has_closed());
    // What it has closed is the fencer's to open, once that runs.
    EXPECT_TRUE(failover::read_closed_file(config_.state_dir)->parts.command);
    renew();
    guard_.step();
    EXPECT_TRUE(is_closed());
    EXPECT_FALSE(guard_.has_closed());
}

TEST_F(AGuardedSite, IsItsFencersBusinessWhileThatRuns) {
    renew(0s);
    fencer_says("watching");
    guard_.step();
    EXPECT_TRUE(is_open());
    clock_.advance(4s);
    fencer_says("closing");
    clock_.advance(9s);
    guard_.step();
    EXPECT_TRUE(is_open()) << "it has something to do, and cannot say anything meanwhile";
    clock_.advance(2s);
    guard_.step();
    EXPECT_TRUE(is_closed());
    // That of an earlier boot does not run.
    test::write_file(service(), "");
    failover::write_fencer_file(config_.state_dir,
                                {"the boot before", clock_.boot_now() + 1h, "watching", ""});
    clock_.advance(6s);
    guard_.step();
    EXPECT_TRUE(is_closed()) << "somebody had started the service by hand";
}

TEST_F(AGuardedSite, SaysWhatDoesNotCloseAndTriesAgain) {
    const auto good = config_.failover.fence_command;
    config_.failover.fence_command = {"/bin/false"};
    renew(0s);
    try {
        guard_.step();
        FAIL() << "it has closed nothing";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("fence_command failed"));
    }
    EXPECT_TRUE(std::filesystem::exists(hook())) << "one that fails keeps back the others";
    EXPECT_FALSE(guard_.has_closed());
    config_.failover.fence_command = good;
    guard_.step();
    EXPECT_TRUE(guard_.has_closed());
    EXPECT_TRUE(is_closed());
}

TEST_F(AGuardedSite, WritesDownWhatItHasClosedOnceItCan) {
    const auto in_the_way = config_.state_dir / "fencer.closed";
    test::write_file(in_the_way / "x", "");
    renew(0s);
    EXPECT_THROW(guard_.step(), Error);
    EXPECT_TRUE(is_closed());
    std::filesystem::remove_all(in_the_way);
    // A fencer that was started meanwhile has closed what it found open.
    failover::write_closed_file(config_.state_dir, {1, {false, {"app"}, {}}});
    fencer_says("closing");
    guard_.step();
    const auto closed = failover::read_closed_file(config_.state_dir);
    ASSERT_TRUE(closed);
    EXPECT_TRUE(closed->parts.command);
    EXPECT_EQ(closed->parts.databases, std::set<std::string>{"app"});
    EXPECT_EQ(closed->parts.repositories, std::set<std::string>{"git"});
}

TEST_F(AGuardedSite, ThatIsNotMeantToBeOpenIsLeftAlone) {
    guard_.step();
    failover::write_lease_file(config_.state_dir, {boot_, BootTime{}, false, 1, "sydney"});
    guard_.step();
    EXPECT_TRUE(is_open());
    EXPECT_FALSE(failover::read_closed_file(config_.state_dir));
}

}  // namespace
}  // namespace antipode
