#include "apps/antipoded/status_feed.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace antipode {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class Feeding : public testing::Test {
  protected:
    http::HttpServer::Feed open(const std::string& last_event = {}) {
        http::HttpRequest request;
        if (!last_event.empty()) {
            request.headers["last-event-id"] = last_event;
        }
        return feed.open(request);
    }
    void note(int count) {
        for (int i = 0; i < count; ++i) {
            seen.push_back({{"sequence", seen.size() + 1}, {"kind", "blob_put"}});
        }
    }
    std::vector<json> behind(uint64_t after, size_t most) const {
        std::vector<json> events;
        for (const json& event : seen) {
            if (event["sequence"].get<uint64_t>() > after) {
                events.push_back(event);
            }
        }
        const size_t count = std::min(most, events.size());
        return {events.end() - static_cast<std::ptrdiff_t>(count), events.end()};
    }

    ManualClock clock;
    int made = 0;
    json status = {{"started_us", 7},
                   {"epoch", 1},
                   {"now_us", 1},
                   {"recovery_point_us", 5},
                   {"stores", {{{"store", "blobs/a"}, {"state", "streaming"}, {"applied", 1}}}}};
    std::vector<json> seen;
    StatusFeed feed{[this] {
                        ++made;
                        return status;
                    },
                    [this](uint64_t after, size_t most) { return behind(after, most); }, clock};
    const std::stop_token never;
};

TEST_F(Feeding, SaysTheStatusAtOnceAndThenEverySecond) {
    const auto watcher = open();
    EXPECT_EQ(watcher(never), "event: status\ndata: " + status.dump() + "\n\n");
    clock.advance(StatusFeed::say_every);
    status["now_us"] = 2;
    EXPECT_THAT(watcher(never), HasSubstr("\"now_us\":2"));
}

TEST_F(Feeding, SaysAChangeOfWordsBeforeTheSecondHasPassed) {
    const auto watcher = open();
    watcher(never);
    clock.advance(StatusFeed::look_every);
    status["stores"][0]["state"] = "degraded";
    EXPECT_THAT(watcher(never), HasSubstr("degraded"));
}

TEST_F(Feeding, TakesCountsAndClocksForNoChangeOfWords) {
    const std::string before = StatusFeed::words_of(status);
    status["now_us"] = 3;
    status["recovery_point_us"] = 6;
    status["stores"][0]["applied"] = 2;
    EXPECT_EQ(StatusFeed::words_of(status), before);
    status["recovery_point_us"] = nullptr;
    EXPECT_NE(StatusFeed::words_of(status), before);
}

TEST_F(Feeding, MakesTheStatusOnceForAllWhoWatch) {
    for (int i = 0; i < 10; ++i) {
        open()(never);
    }
    EXPECT_EQ(made, 1);
}

TEST_F(Feeding, ResumesBehindTheLastEventOfTheSameRun) {
    note(3);
    EXPECT_THAT(open()(never), HasSubstr("id: 7.1.1\n"));
    const std::string rest = open("7.1.2")(never);
    EXPECT_THAT(rest, HasSubstr("event: seen\nid: 7.1.3\ndata: {"));
    EXPECT_THAT(rest, Not(HasSubstr("7.1.2")));
    EXPECT_THAT(open("6.1.2")(never), HasSubstr("id: 7.1.1\n")) << "another run";
    EXPECT_THAT(open("7.1.x")(never), HasSubstr("id: 7.1.1\n")) << "no number";
}

TEST_F(Feeding, SkipsEventsRatherThanFallBehind) {
    const auto watcher = open();
    watcher(never);
    note(StatusFeed::events_at_once + 1);
    clock.advance(StatusFeed::say_every);
    const std::string text = watcher(never);
    EXPECT_THAT(text, Not(HasSubstr("id: 7.1.1\n")));
    EXPECT_THAT(text, HasSubstr("id: 7.1.2\n"));
}

TEST_F(Feeding, BeginsAgainWhenTheRoleChanges) {
    note(2);
    const auto watcher = open();
    watcher(never);
    seen.resize(1);
    status["epoch"] = 2;
    clock.advance(StatusFeed::say_every);
    EXPECT_THAT(watcher(never), HasSubstr("id: 7.2.1\n"));
}

TEST_F(Feeding, EndsWhenTheServerStops) {
    const auto watcher = open();
    watcher(never);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(watcher(stop.get_token()), "");
}

}  // namespace
}  // namespace antipode
