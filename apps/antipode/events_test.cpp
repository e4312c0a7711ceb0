#include "apps/antipode/events.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string first =
    R"({"sequence":7,"at_us":1795358405123000,"kind":"applied","store":"blobs/uploads",)"
    R"("item":"a.txt","position":"1.5.70"})";
const std::string second = R"({"sequence":8,"at_us":null,"kind":"role","text":"secondary"})";

const std::string third = R"({"sequence":9,"kind":"marker"})";

/// Answers each request with the next of the given texts, then with nothing.
struct Daemon {
    explicit Daemon(std::vector<std::string> texts) : answers(std::move(texts)) {}

    std::vector<std::string> answers;
    std::vector<std::string> asked;
    Config config;
    std::ostringstream out;
    std::ostringstream error;

    Fetch fetch() {
        return [this](const std::string& url, std::chrono::milliseconds) {
            asked.push_back(url);
            const size_t number = asked.size() - 1;
            return Answer{200, number < answers.size() ? answers[number] : ""};
        };
    }
};

TEST(Events, TailShowsTheNewestAndGoesOnBehindThem) {
    Daemon daemon({first + "\n", second + "\n", "", "", third + "\n"});
    size_t pauses = 0;
    TailOptions options;
    options.lines = 1;
    options.pause = [&] { ++pauses; };
    options.stopped = [&] { return daemon.asked.size() == 5; };
    EXPECT_EQ(tail_events(daemon.config, daemon.fetch(), {daemon.out, daemon.error}, options),
              ExitCode::Ok);
    EXPECT_EQ(daemon.out.str(),
              "8  ?  role  secondary\n"
              "9  ?  marker\n");
    const std::string url = "http://127.0.0.1:8840/v1/events?after=";
    EXPECT_THAT(daemon.asked, ElementsAre(url + "0&wait=0", url + "7&wait=0", url + "8&wait=0",
                                          url + "8&wait=20", url + "8&wait=20"));
    EXPECT_EQ(pauses, 1U) << "a daemon that does not wait is not asked without end";
}

TEST(Events, TailShowsEverythingBehindAnEvent) {
    Daemon daemon({first + "\n" + second + "\n"});
    TailOptions options;
    options.after = 5;
    options.follow = false;
    tail_events(daemon.config, daemon.fetch(), {daemon.out, daemon.error}, options);
    EXPECT_EQ(daemon.out.str(),
              "7  2026-11-22T14:40:05.123Z  applied  blobs/uploads  a.txt  1.5.70\n"
              "8  ?  role  secondary\n");
    daemon.out.str("");
    daemon.asked.clear();
    tail_events(daemon.config, daemon.fetch(), {daemon.out, daemon.error, Format::Json}, options);
    EXPECT_EQ(daemon.out.str(), first + "\n" + second + "\n");
}

TEST(Events, ShowPrintsEverythingOfOneEvent) {
    Daemon daemon({first + "\n" + second + "\n"});
    show_event(daemon.config, daemon.fetch(), {daemon.out, daemon.error}, 7);
    EXPECT_THAT(daemon.out.str(), HasSubstr("at_us: 1795358405123000 (2026-11-22T14:40:05.123Z)\n"
                                            "kind: applied\n"));
    EXPECT_THAT(daemon.asked, ElementsAre("http://127.0.0.1:8840/v1/events?after=6&wait=0"));
}

TEST(Events, RefusesWhatIsNotThereOrNoEvent) {
    Daemon daemon({second, "<html>"});
    const Output output{daemon.out, daemon.error};
    EXPECT_THROW(show_event(daemon.config, daemon.fetch(), output, 7), CommandError);
    EXPECT_THROW(show_event(daemon.config, daemon.fetch(), output, 7), CommandError);
}

}  // namespace
}  // namespace antipode::cli
