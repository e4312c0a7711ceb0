#include "failover/fences.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/places.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A site with two stores of repositories, closed, that the daemon opens.
class FencesOfASite : public testing::Test {
  protected:
    FencesOfASite() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = directory_ / "state";
        config_.repositories = {{"git", directory_ / "git"}, {"wiki", directory_ / "wiki"}};
        config_.failover.unfence_command = {"/usr/bin/touch", service().string()};
        fences_.close_hooks("sydney");
    }
    std::filesystem::path service() const { return directory_ / "service"; }
    bool is_open(const char* store) const {
        return !std::filesystem::exists(hook_fence(config_, store));
    }

    test::TemporaryDirectory directory_;
    Config config_;
    Fences fences_{config_};
};

TEST_F(FencesOfASite, OpenNothingMoreOnceTheyMayNot) {
    int asked = 0;
    EXPECT_THROW(fences_.open(true, [&] { return ++asked == 1; }), Error);
    EXPECT_TRUE(is_open("git"));
    EXPECT_FALSE(is_open("wiki"));
    EXPECT_FALSE(std::filesystem::exists(service()));
    fences_.open(true, [] { return true; });
    EXPECT_TRUE(is_open("wiki"));
    EXPECT_TRUE(std::filesystem::exists(service()));
}

TEST_F(FencesOfASite, SayWhenTheyMayNotStayOpen) {
    // The lease has ended by the time the service is up.
    EXPECT_THROW(fences_.open(true, [&] { return !std::filesystem::exists(service()); }), Error);
}

TEST_F(FencesOfASite, EndACommandThatMayLetNobodyInAnyMore) {
    const auto never = directory_ / "never";
    test::must_run({"mkfifo", never.string()});
    const auto begun = std::chrono::steady_clock::now();
    const std::vector<std::string> command = {
        "/bin/sh", "-c", "touch " + service().string() + "; read x < " + never.string()};
    try {
        fences_.let_in("after_open_command", command,
                       [&] { return !std::filesystem::exists(service()); });
        FAIL() << "it has let them in";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), HasSubstr("the lease ended"));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
}

}  // namespace
}  // namespace antipode::failover
