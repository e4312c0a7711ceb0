#include "tests/house/rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode::house {
namespace {

using testing::_;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

std::vector<std::string> found(const std::string& path, const std::string& text) {
    std::vector<std::string> lines;
    for (const Violation& violation : check({{path, text}})) {
        lines.push_back(violation.to_string());
    }
    return lines;
}

std::vector<std::string> including(const std::string& path, const std::string& header) {
    return found(path, "#pragma once\n#include \"" + header + "\"\n");
}

TEST(HouseRules, AllowTheIncludeOrder) {
    EXPECT_THAT(including("base/clock.cpp", "base/seams/stream.hpp"), IsEmpty());
    EXPECT_THAT(including("protocol/codec.cpp", "base/error.hpp"), IsEmpty());
    EXPECT_THAT(including("adapters/git/repository.cpp", "base/seams/bulk.hpp"), IsEmpty());
    EXPECT_THAT(including("adapters/git/repository.cpp", "adapters/git/oid.hpp"), IsEmpty());
    EXPECT_THAT(including("primary/inventory.cpp", "adapters/sqlite/database.hpp"), IsEmpty());
    EXPECT_THAT(including("primary/blobs/capture.cpp", "primary/capture.hpp"), IsEmpty());
    EXPECT_THAT(including("primary/blobs/capture.cpp", "verify/refs.hpp"), IsEmpty());
    EXPECT_THAT(including("primary/blobs/capture_test.cpp", "tests/support/process.hpp"),
                IsEmpty());
    EXPECT_THAT(including("failover/record.cpp", "secondary/apply.hpp"), IsEmpty());
    EXPECT_THAT(including("apps/antipoded/main.cpp", "adapters/nats/stream.hpp"), IsEmpty());
    EXPECT_THAT(including("tests/blobs_test.cpp", "primary/blobs/capture.hpp"), IsEmpty());
}

TEST(HouseRules, CatchEveryArrowThatGoesTheWrongWay) {
    const std::vector<std::pair<std::string, std::string>> wrong = {
        {"base/clock.cpp", "protocol/codec.hpp"},
        {"protocol/codec.cpp", "adapters/nats/stream.hpp"},
        {"adapters/nats/stream.cpp", "protocol/message.hpp"},
        {"adapters/nats/stream.cpp", "adapters/git/repository.hpp"},
        {"verify/refs.cpp", "primary/capture.hpp"},
        {"primary/capture.hpp", "secondary/apply.hpp"},
        {"secondary/apply.cpp", "primary/capture.hpp"},
        {"primary/publisher.cpp", "primary/blobs/capture.hpp"},
        {"primary/blobs/capture.cpp", "primary/repositories/capture.hpp"},
        {"primary/blobs/capture.cpp", "adapters/files/watch.hpp"},
        {"secondary/database/apply.cpp", "adapters/postgres/session.hpp"},
        {"secondary/relay.cpp", "failover/record.hpp"},
        {"failover/record.cpp", "apps/antipoded/wiring.hpp"},
        {"apps/antipode/main.cpp", "apps/antipoded/wiring.hpp"},
        {"primary/inventory.cpp", "tests/support/process.hpp"},
    };
    for (const auto& [path, header] : wrong) {
        EXPECT_THAT(including(path, header), ElementsAre(HasSubstr(path + ":2: \"" + header)))
            << path << " includes " << header;
    }
    EXPECT_THAT(including("base/clock.cpp", "clock.hpp"), SizeIs(1)) << "not from the top";
}

TEST(HouseRules, StopForeignHeadersAtTheAdapters) {
    for (const char* header : {"git2.h", "git2/odb.h", "nats.h", "nats/nats.h", "libpq-fe.h",
                               "pqxx/pqxx", "boost/asio.hpp", "boost/asio/ip/tcp.hpp",
                               "boost/beast/http.hpp", "sqlite3.h", "SQLiteCpp/Database.h"}) {
        const std::string line = std::string("  # include <") + header + ">\n";
        EXPECT_THAT(found("adapters/x/y.cpp", line), IsEmpty());
        EXPECT_THAT(found("adapters/x/private.hpp", line), IsEmpty());
        EXPECT_THAT(found("apps/antipoded/main.cpp", line), SizeIs(1)) << header;
        EXPECT_THAT(found("tests/git_test.cpp", line), SizeIs(1)) << header;
    }
    EXPECT_THAT(found("protocol/codec.cpp", "#include <zstd.h>\n"), IsEmpty());
}

TEST(HouseRules, KeepHeadersThatShowForeignOnesPrivateToTheirAdapter) {
    Tree tree = {{"adapters/git/session.hpp", "#include <git2.h>\n"},
                 {"adapters/git/more.hpp", "#include \"adapters/git/session.hpp\"\n"},
                 {"adapters/git/repository.cpp", "#include \"adapters/git/more.hpp\"\n"}};
    EXPECT_THAT(check(tree), IsEmpty());
    for (const char* path : {"apps/antipoded/wiring.cpp", "tests/git_test.cpp", "verify/a.cpp"}) {
        Tree planted = tree;
        planted[path] = "#include \"adapters/git/more.hpp\"\n";
        EXPECT_THAT(check(planted), SizeIs(1)) << path;
    }
}

TEST(HouseRules, LimitFilesAndLines) {
    const std::string widest(most_columns, 'x');
    EXPECT_THAT(found("base/a.cpp", widest + "\n"), IsEmpty());
    EXPECT_THAT(found("base/a.cpp", "\n" + widest + "y\n"),
                ElementsAre("base/a.cpp:2: longer than 100 columns"));
    std::string accented;
    for (size_t i = 0; i < most_columns; ++i) {
        accented += "\xC3\xA9";
    }
    EXPECT_THAT(found("base/a.cpp", accented + "\n"), IsEmpty()) << "columns are not bytes";
    EXPECT_THAT(found("scripts/a", std::string(most_lines, '\n')), IsEmpty());
    EXPECT_THAT(found("scripts/a", std::string(most_lines + 1, '\n')),
                ElementsAre("scripts/a:601: more than 600 lines"));
}

TEST(HouseRules, CatchSleepingTests) {
    const std::string sleep = "std::this_thread::sleep_" + std::string("for(1s);\n");
    EXPECT_THAT(found("base/clock_test.cpp", sleep), SizeIs(1));
    EXPECT_THAT(found("tests/relay_test.cpp", "    ::usleep" + std::string("(3);\n")), SizeIs(1));
    EXPECT_THAT(found("tests/relay", "x && sleep" + std::string(" 1\n")), SizeIs(1));
    EXPECT_THAT(found("tests/support/process.cpp", sleep), IsEmpty());
    EXPECT_THAT(found("base/worker.cpp", sleep), IsEmpty()) << "no test";
    EXPECT_THAT(found("base/clock_test.cpp", "sleep_unless_stopped(a, b); // " + sleep), IsEmpty());
}

TEST(HouseRules, LookAtCodeScriptsAndBuildFilesOnly) {
    const test::TemporaryDirectory top;
    for (const char* directory : {"base", "build/dev", ".git", ".ci", "scripts", "docs"}) {
        std::filesystem::create_directories(top / directory);
    }
    for (const char* file : {"base/a.cpp", "base/CMakeLists.txt", "build/dev/b.cpp", ".git/c.cpp",
                             "docs/d.md", "scripts/data"}) {
        test::write_file(top / file, "x\n");
    }
    test::write_file(top / ".ci/run", "#!/bin/sh\n");
    test::write_file(top / "scripts/test", "#!/bin/sh\n");
    EXPECT_THAT(read_tree(top.path()),
                ElementsAre(Pair(".ci/run", _), Pair("base/CMakeLists.txt", _),
                            Pair("base/a.cpp", "x\n"), Pair("scripts/test", _)));
}

TEST(HouseRules, TellOperatorsOfCommandsThatExist) {
    const std::string program = "add(app_, \"status\", \"help\", {});\n";
    const auto told = [&](const std::string& path, const std::string& line) {
        return check({{"apps/antipode/main.cpp", program}, {path, line}}).size();
    };
    EXPECT_EQ(told("secondary/a.cpp", "f(\"look at antipode status\");\n"), 0U);
    EXPECT_EQ(told("secondary/a.cpp", "f(\"antipode mend\");\n"), 1U);
    EXPECT_EQ(told("secondary/a.cpp", "f(\"antipode status, antipode mend\");\n"), 1U);
    EXPECT_EQ(told("secondary/a.cpp", "// antipode knows\n"), 0U);
    EXPECT_EQ(told("secondary/a_test.cpp", "f(\"antipode mend\");\n"), 0U);
}

}  // namespace
}  // namespace antipode::house
