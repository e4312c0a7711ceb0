// However the program ends: what it started does not run on, and its directory is gone.
#include "chaos-tests/supervisor.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

/// Those that work in a directory, or were called with its name.
std::vector<std::string> processes_in(const std::filesystem::path& directory) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::error_code gone;
        const std::string place =
            std::filesystem::read_symlink(entry.path() / "cwd", gone).string();
        std::string command;
        try {
            command = test::read_file(entry.path() / "cmdline");
        } catch (const std::runtime_error&) {
            continue;  // no process, or it has ended
        }
        if ((place + " " + command).find(directory.string()) != std::string::npos) {
            found.push_back(entry.path().filename().string() + " " + command);
        }
    }
    return found;
}

class Supervised : public testing::Test {
  protected:
    void SetUp() override { setenv("TMPDIR", place_.path().c_str(), 1); }
    void TearDown() override { unsetenv("TMPDIR"); }

    /// Supervises what is like a server, and a shell's orphan, and then does `end`.
    pid_t start(const std::function<int()>& end) {
        const pid_t supervisor = fork();
        if (supervisor == 0) {
            _exit(supervise([&] {
                const test::TemporaryDirectory directory;
                test::Process::Options options;
                options.directory = directory.path();
                test::must_run({"sh", "-c", "(sleep 601 &)"}, {}, options);
                options.as_unprivileged_user = true;
                const test::Process server({"sleep", "600"}, options);
                test::write_file(ready(), "");
                return end();
            }));
        }
        return supervisor;
    }
    std::filesystem::path ready() const { return beside_ / "ready"; }
    bool is_ready() const {
        return test::eventually([&] { return std::filesystem::exists(ready()); });
    }
    static int status_of(pid_t child) {
        int status = 0;
        waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    void expect_nothing_left() const {
        EXPECT_EQ(processes_in(place_.path()), std::vector<std::string>{});
        EXPECT_TRUE(std::filesystem::is_empty(place_.path()));
    }

    const test::TemporaryDirectory beside_;
    const test::TemporaryDirectory place_;
};

int wait_for_ever() {
    for (;;) {
        pause();
    }
}

TEST_F(Supervised, SaysWhatTheWorkReturned) {
    const pid_t supervisor = start([] { return 3; });
    EXPECT_EQ(status_of(supervisor), 3);
    expect_nothing_left();
}

class SupervisedAndTold : public Supervised, public testing::WithParamInterface<int> {};

TEST_P(SupervisedAndTold, EndsWhatItStarted) {
    const pid_t supervisor = start(wait_for_ever);
    ASSERT_TRUE(is_ready());
    EXPECT_TRUE(test::eventually([&] { return processes_in(place_.path()).size() >= 2; }));
    kill(supervisor, GetParam());
    EXPECT_EQ(status_of(supervisor), 128 + GetParam());
    expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(By, SupervisedAndTold, testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST_F(Supervised, MayCrash) {
    const pid_t supervisor = start([]() -> int { std::abort(); });
    EXPECT_EQ(status_of(supervisor), 128 + SIGABRT);
    expect_nothing_left();
}

TEST_F(Supervised, ServersDieEvenWithAKilledSupervisor) {
    const pid_t supervisor = start(wait_for_ever);
    ASSERT_TRUE(is_ready());
    kill(supervisor, SIGKILL);
    EXPECT_EQ(status_of(supervisor), -SIGKILL);
    const auto only_the_orphan = [&] {
        const auto left = processes_in(place_.path());
        return left.size() == 1 && left.front().find("601") != std::string::npos;
    };
    EXPECT_TRUE(test::eventually(only_the_orphan, 10s));
    for (const std::string& process : processes_in(place_.path())) {
        kill(std::stoi(process), SIGKILL);
    }
}

TEST_F(Supervised, TheProgramIs) {
    test::Process program({ANTIPODE_CHAOS, "--seed", "1", "--only", "kill-site"}, {});
    ASSERT_TRUE(test::eventually([&] {
        const auto running = processes_in(place_.path());
        return std::any_of(running.begin(), running.end(), [](const std::string& process) {
            return process.find("antipoded") != std::string::npos;
        });
    }));
    EXPECT_EQ(program.stop(20s, SIGTERM), 128 + SIGTERM);
    expect_nothing_left();
}

}  // namespace
}  // namespace antipode::chaos
