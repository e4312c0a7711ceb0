#include "apps/antipode/wait.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/two_daemons.hpp"

namespace antipode::cli {
namespace {

using test::Json;
using testing::HasSubstr;

/// Sydney's database is at LSN 1/0, and its recovery point stands still; the primary has the item
/// ab/cd, which sydney has not.
struct Waiter : test::Cluster {
    WaitOptions asked;
    bool has_item = true;
    Fetch with_items = [this](const std::string& url, std::chrono::milliseconds timeout) -> Answer {
        if (url.find("/v1/items") == std::string::npos) {
            return fetch(url, timeout);
        }
        const bool is_there = has_item && url.find(":8840") != std::string::npos &&
                              url.find("store=blobs") != std::string::npos;
        const Json row{{"item", "ab/cd"}, {"state", "published"}, {"position", "1.1.1"}};
        return {200, Json{{"items", is_there ? Json::array({row}) : Json::array()}}.dump()};
    };

    Waiter() {
        config.databases.emplace_back().name = "app";
        config.blobs.emplace_back().name = "uploads";
        for (const char* site : {"london", "sydney"}) {
            const std::string lane = site == std::string("london") ? "captured_through_us" : "lsn";
            statuses[site]["sites"].push_back({{"site", "london"}, {"role", "primary"}});
            statuses[site]["stores"] = {
                {{"store", "database/app"}, {"lsn", "1/0"}},
                {{"store", "blobs/uploads"},
                 {lane, to_microseconds(clock.now() + std::chrono::hours(1))}}};
        }
        statuses["sydney"]["recovery_point_us"] = nullptr;
        asked.site = "sydney";
        asked.timeout_seconds = 0;
        asked.pause = [] {};
    }
    /// Ok: it was taken for an LSN, which sydney has; TimedOut: for an item that it has not.
    ExitCode wait(const std::string& what, const std::optional<std::string>& store = {}) {
        asked.what = what;
        asked.store = store;
        out.str("");
        error.str("");
        return code_of([&] { return wait_for_site(config, with_items, clock, output, asked); });
    }
};

TEST(Wait, TakesForAnLsnWhatPostgresqlWritesSo) {
    Waiter waiter;
    EXPECT_EQ(waiter.wait("0/16B3748"), ExitCode::Ok) << waiter.error.str();
    EXPECT_THAT(waiter.out.str(), HasSubstr("sydney has LSN 0/16B3748"));
    EXPECT_EQ(waiter.wait("ab/cd"), ExitCode::TimedOut);
    EXPECT_THAT(waiter.error.str(), HasSubstr("blobs/uploads ab/cd is on its way"));
    EXPECT_EQ(waiter.wait("00/16"), ExitCode::TimedOut) << waiter.error.str();
}

TEST(Wait, TakesTheWordOfANamedStore) {
    Waiter waiter;
    EXPECT_EQ(waiter.wait("0/16", "uploads"), ExitCode::TimedOut) << waiter.error.str();
    EXPECT_EQ(waiter.wait("0/16b3748", "app"), ExitCode::Ok) << waiter.error.str();
    EXPECT_EQ(waiter.wait("0/16b3748", "database/app"), ExitCode::Ok) << waiter.error.str();
    EXPECT_EQ(waiter.wait("a file", "app"), ExitCode::Usage);
}

TEST(Wait, TakesForAnLsnWhatCanBeNothingElse) {
    Waiter waiter;
    waiter.config.blobs.clear();
    EXPECT_EQ(waiter.wait("0/ab"), ExitCode::Ok) << waiter.error.str();
    Waiter without;
    without.config.databases.clear();
    EXPECT_EQ(without.wait("0/16B3748"), ExitCode::TimedOut) << without.error.str();
}

TEST(Wait, SaysHowAnLsnIsWrittenWhereNoItemHasThatName) {
    Waiter waiter;
    waiter.has_item = false;
    EXPECT_EQ(waiter.wait("0/16b3748"), ExitCode::Unknown);
    EXPECT_THAT(waiter.error.str(), HasSubstr("Try: antipode wait 0/16B3748, if it is an LSN"));
}

}  // namespace
}  // namespace antipode::cli
