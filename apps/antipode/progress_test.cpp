#include "apps/antipode/progress.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::cli {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;

struct ProgressTest : testing::Test {
    std::ostringstream out;
    std::ostringstream error;
    std::chrono::steady_clock::time_point now{};

    std::string told() {
        std::string text = error.str();
        error.str("");
        return text;
    }
};

TEST_F(ProgressTest, OnATerminalOneLineChangesAndSaysHowLongItTakes) {
    const Output output{out, error, Format::Table, false, true};
    Progress progress(output, [&] { return now; });
    progress.tell("app: 40 items left", Progress::Share{60, 100});
    EXPECT_EQ(told(), "\r\x1b[K[############........] 60%  app: 40 items left");
    now += 10s;
    progress.tell("app: 20 items left", Progress::Share{80, 100});
    EXPECT_EQ(told(),
              "\r\x1b[K[################....] 80%  app: 20 items left, 2/s, about 10s to go");
    progress.tell("app: 20 items left", Progress::Share{80, 100});
    EXPECT_THAT(told(), IsEmpty()) << "nothing has changed";
    progress.tell("app\x1b[2J waits");
    EXPECT_EQ(told().find("\x1b[2J"), std::string::npos) << "a name is no command for a terminal";
    progress.end();
    EXPECT_EQ(told(), "\n");
    progress.end();
    EXPECT_THAT(told(), IsEmpty());
}

TEST_F(ProgressTest, ElsewhereEachChangeIsALine) {
    const Output output{out, error};
    {
        Progress progress(output, [&] { return now; });
        progress.tell("app: 40 items left", Progress::Share{60, 100});
        progress.tell("app: 40 items left", Progress::Share{60, 100});
        progress.tell("app: 20 items left", Progress::Share{80, 100});
    }
    EXPECT_EQ(told(), "app: 40 items left\napp: 20 items left\n");
}

TEST_F(ProgressTest, UnderJsonThereIsNone) {
    for (const Format format : {Format::Json, Format::JsonLines, Format::Csv}) {
        const Output output{out, error, format, false, true};
        Progress(output).tell("app: 40 items left", Progress::Share{60, 100});
    }
    EXPECT_THAT(told(), IsEmpty());
}

}  // namespace
}  // namespace antipode::cli
