#include "tests/support/process.hpp"

#include <csignal>
#include <fstream>
#include <set>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

std::string word_of(pid_t pid, const char* file) {
    std::ifstream stream("/proc/" + std::to_string(pid) + "/" + file);
    std::string word;
    stream >> word;
    return word;
}

/// Also when nobody has waited for it: a container's first process may not.
bool is_gone(pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(stat, line);
    const size_t after = line.rfind(") ");
    return after == std::string::npos || line[after + 2] == 'Z';
}

/// A program that starts one, says which, and waits.
[[noreturn]] void start_and_wait(const Process::Options& options, int say) {
    const Process child({"sleep", "600"}, options);
    const pid_t pid = child.pid();
    if (write(say, &pid, sizeof(pid)) != sizeof(pid)) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

class DyingWithTheTest : public testing::TestWithParam<bool> {};

TEST_P(DyingWithTheTest, WhateverItsUser) {
    Process::Options options;
    options.directory = "/";
    options.as_unprivileged_user = GetParam();
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const pid_t program = fork();
    if (program == 0) {
        start_and_wait(options, ends[1]);
    }
    pid_t child = 0;
    ASSERT_EQ(read(ends[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
    ASSERT_TRUE(eventually([&] { return word_of(child, "comm") == "sleep"; }));
    ASSERT_FALSE(is_gone(child));
    ::kill(program, SIGKILL);
    waitpid(program, nullptr, 0);
    EXPECT_TRUE(eventually([&] { return is_gone(child); }, std::chrono::seconds(5)));
    if (!is_gone(child)) {
        ::kill(child, SIGKILL);
    }
    close(ends[0]);
    close(ends[1]);
}

INSTANTIATE_TEST_SUITE_P(AsItselfAndAsAnother, DyingWithTheTest, testing::Bool());

TEST(Program, HasNothingOpenThatAnotherThreadHas) {
    const TemporaryDirectory directory;
    const std::filesystem::path file = directory / "written";
    const std::ofstream writer(file);  // does not say O_CLOEXEC
    const std::string looked = must_run({"sh", "-c", "ls -l /proc/$$/fd"});
    EXPECT_NE(looked.find("1 -> "), std::string::npos) << looked;
    EXPECT_EQ(looked.find(file.string()), std::string::npos) << looked;
}

TEST(ChildrenOf, AreThoseThatRun) {
    const Process one({"sleep", "600"}, {});
    EXPECT_EQ(children_of(getpid()), std::vector<pid_t>{one.pid()});
    EXPECT_EQ(children_of(one.pid()), std::vector<pid_t>{});
}

TEST(FreePort, IsGivenOnceAndNotToWhoeverConnects) {
    std::set<int> ports;
    for (int i = 0; i < 200; ++i) {
        EXPECT_TRUE(ports.insert(free_port()).second);
    }
    std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
    int lowest = 0;
    range >> lowest;
    EXPECT_LT(*ports.rbegin(), lowest);
}

}  // namespace
}  // namespace antipode::test
