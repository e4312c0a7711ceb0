#include "failover/site_command.hpp"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

using testing::HasSubstr;

SiteCommand shell(const std::string& script, std::chrono::milliseconds timeout) {
    return {"failover.fence_command", {"/bin/sh", "-c", script}, timeout};
}

TEST(SiteCommand, GetsItsEnvironmentAndSaysHowItEnded) {
    const std::chrono::seconds limit(20);
    EXPECT_EQ(run({"x", {}, limit}, {}).status, 0) << "none is set";
    EXPECT_EQ(
        run(shell("test \"$ANTIPODE_PRIMARY\" = sydney", limit), {{"ANTIPODE_PRIMARY", "sydney"}})
            .status,
        0);
    const CommandOutcome failed = run(shell("echo no disk >&2; exit 7", limit), {});
    EXPECT_EQ(failed.status, 7);
    EXPECT_THAT(failed.complaint, HasSubstr("no disk"));
    try {
        must_run(shell("exit 3", limit), {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("failover.fence_command failed with exit status 3"));
    }
}

TEST(SiteCommand, EndsWhenItsTimeIsUp) {
    try {
        run(shell("exec tail -f /dev/null", std::chrono::milliseconds(100)), {});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), HasSubstr("took longer"));
    }
}

TEST(SiteCommand, EndsWithAllItsProcessesWhenItIsNotWantedAnyMore) {
    const antipode::test::TemporaryDirectory directory;
    const auto file = directory / "running";
    ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
    std::stop_source source;
    // Open for as long as one of them runs.
    std::thread reader([&] {
        std::ifstream running(file);
        std::string line;
        std::getline(running, line);
        EXPECT_EQ(line, "begun");
        source.request_stop();
        EXPECT_FALSE(std::getline(running, line));
    });
    const std::string script =
        "exec >" + file.string() + "; echo begun; (tail -f /dev/null) & tail -f /dev/null";
    EXPECT_THROW(run(shell(script, std::chrono::hours(1)), {}, source.get_token()), Stopped);
    reader.join();
}

}  // namespace
}  // namespace antipode::failover
