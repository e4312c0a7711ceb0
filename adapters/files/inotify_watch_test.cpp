#include "adapters/files/inotify_watch.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::files {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

/// Root may watch everything: while this object is there, the test's user is one who owns
/// `directory` and nothing else.
class LikeOthers {
  public:
    explicit LikeOthers(const fs::path& directory) {
        if (geteuid() != 0) {
            return;
        }
        test::must_run({"chown", "-R", std::to_string(nobody), directory.string()});
        EXPECT_EQ(seteuid(nobody), 0);
        changed_ = true;
    }
    ~LikeOthers() {
        if (changed_) {
            EXPECT_EQ(seteuid(0), 0);
        }
    }
    LikeOthers(const LikeOthers&) = delete;
    LikeOthers& operator=(const LikeOthers&) = delete;

  private:
    static constexpr uid_t nobody = 65534;
    bool changed_ = false;
};

class Watch : public testing::Test {
  protected:
    void SetUp() override {
        fs::create_directories(root);
        watch.exclude([](const std::string& path) { return path.starts_with("skip"); });
        watch.cover("");
    }
    FileWatch::Changes drain() {
        FileWatch::Changes changes = watch.drain();
        std::sort(changes.files.begin(), changes.files.end());
        return changes;
    }
    Names files() {
        const auto changes = drain();
        EXPECT_TRUE(changes.complete);
        return changes.files;
    }

    const test::TemporaryDirectory directory;
    const fs::path root = directory.path() / "root";
    ManualClock clock;
    InotifyWatch watch{root, clock};
};

TEST_F(Watch, NamesWhatChanged) {
    test::write_file(root / "a", "1");
    test::write_file(root / "b", "1");
    test::write_file(root / "skipped", "1");
    EXPECT_EQ(files(), (Names{"a", "b"}));
    EXPECT_EQ(files(), Names{});
    fs::rename(root / "a", root / "c");
    fs::remove(root / "b");
    EXPECT_EQ(files(), (Names{"a", "b", "c"}));
    ASSERT_EQ(chmod((root / "c").c_str(), 0600), 0);
    EXPECT_EQ(files(), Names{"c"});
    const std::array<timespec, 2> times = {timespec{1, 2}, timespec{3, 4}};
    ASSERT_EQ(utimensat(AT_FDCWD, (root / "c").c_str(), times.data(), 0), 0);
    EXPECT_EQ(files(), Names{"c"});
    fs::create_hard_link(root / "c", root / "d");
    const Names linked = files();
    EXPECT_TRUE(std::find(linked.begin(), linked.end(), "d") != linked.end());
    fs::create_symlink("x", root / "e");
    EXPECT_EQ(files(), Names{"e"});
    ASSERT_EQ(truncate((root / "c").c_str(), 0), 0);
    EXPECT_EQ(files(), Names{"c"});
    test::read_file(root / "c");
    EXPECT_EQ(files(), Names{});
}

TEST_F(Watch, NamesWhatNewDirectoriesHold) {
    fs::create_directories(root / "a/b/c");
    test::write_file(root / "a/b/c/1", "");
    test::write_file(root / "a/2", "");
    EXPECT_EQ(files(), (Names{"a/2", "a/b/c/1"}));
    test::write_file(root / "a/b/c/3", "");
    EXPECT_EQ(files(), Names{"a/b/c/3"});
}

TEST_F(Watch, NamesDirectoriesThatAppearOrWhoseModeIsSet) {
    const auto directories = [&] {
        Names names = drain().directories;
        std::sort(names.begin(), names.end());
        return names;
    };
    fs::create_directories(root / "a/b/c");
    fs::create_directories(root / "skipped");
    EXPECT_EQ(directories(), (Names{"a", "a/b", "a/b/c"}));
    ASSERT_EQ(chmod((root / "a/b").c_str(), 0700), 0);
    EXPECT_EQ(directories(), Names{"a/b"});
    fs::rename(root / "a/b", root / "d");
    EXPECT_EQ(directories(), (Names{"d", "d/c"}));
    fs::remove_all(root / "d");
    const FileWatch::Changes gone = drain();
    EXPECT_EQ(gone.directories, Names{});
    EXPECT_EQ(std::set<std::string>(gone.gone_directories.begin(), gone.gone_directories.end()),
              (std::set<std::string>{"d", "d/c"}));
    test::write_file(root / "a/file", "what is in a directory is no news of it");
    EXPECT_EQ(directories(), Names{});
}

TEST_F(Watch, FollowsDirectoriesThatMove) {
    fs::create_directories(root / "a/b");
    test::write_file(root / "a/b/1", "");
    EXPECT_EQ(files(), Names{"a/b/1"});
    fs::rename(root / "a", root / "x");
    test::write_file(root / "x/b/2", "");
    const auto moved = drain();
    EXPECT_EQ(moved.files, (Names{"x/b/1", "x/b/2"}));
    EXPECT_EQ(moved.gone_directories, Names{"a"});
    test::write_file(root / "x/b/3", "");
    EXPECT_EQ(files(), Names{"x/b/3"});
    // The name is used again at once.
    fs::create_directories(root / "a/b");
    test::write_file(root / "a/b/4", "");
    EXPECT_EQ(files(), Names{"a/b/4"});
    // Moved out: what happens there is not ours.
    fs::rename(root / "x", directory / "outside");
    test::write_file(directory / "outside/b/5", "");
    const auto left = drain();
    EXPECT_EQ(left.files, Names{});
    EXPECT_EQ(left.gone_directories, Names{"x"});
    // Moved in, with what is in it.
    fs::rename(directory / "outside", root / "y");
    EXPECT_EQ(files(), (Names{"y/b/1", "y/b/2", "y/b/3", "y/b/5"}));
}

TEST_F(Watch, FollowsADirectoryMovedIntoANewOne) {
    fs::create_directories(root / "a");
    files();
    fs::create_directories(root / "new");
    test::write_file(root / "a/1", "");
    fs::rename(root / "a", root / "new/a");
    const auto moved = drain();
    EXPECT_TRUE(std::find(moved.files.begin(), moved.files.end(), "new/a/1") != moved.files.end());
    EXPECT_EQ(moved.gone_directories, Names{"a"});
    test::write_file(root / "new/a/2", "");
    EXPECT_EQ(files(), Names{"new/a/2"});
}

TEST_F(Watch, NamesAFileThatStaysOpenInGrowingIntervals) {
    std::ofstream log(root / "log");
    log << "1" << std::flush;
    EXPECT_EQ(files(), Names{"log"});
    log << "2" << std::flush;
    EXPECT_EQ(files(), Names{});
    clock.advance(std::chrono::milliseconds(1000));
    EXPECT_EQ(files(), Names{"log"});
    log << "3" << std::flush;
    clock.advance(std::chrono::milliseconds(1000));
    EXPECT_EQ(files(), Names{});
    clock.advance(std::chrono::milliseconds(1000));
    EXPECT_EQ(files(), Names{"log"});
    log << "4" << std::flush;
    EXPECT_EQ(files(), Names{});
    log.close();
    EXPECT_EQ(files(), Names{"log"});
    EXPECT_EQ(files(), Names{});
}

TEST_F(Watch, TellsWhenEventsWereLost) {
    test::write_file(root / "a", "");
    test::write_file(root / "b", "");
    drain();
    // The same event twice in a row is merged by the kernel, so two files take turns.
    for (int i = 0; i < 9000; ++i) {
        utimensat(AT_FDCWD, (root / "a").c_str(), nullptr, 0);
        utimensat(AT_FDCWD, (root / "b").c_str(), nullptr, 0);
    }
    EXPECT_FALSE(drain().complete);
    EXPECT_TRUE(drain().complete);
}

TEST_F(Watch, TellsWhenTheRootMoves) {
    fs::rename(root, directory / "elsewhere");
    EXPECT_FALSE(drain().complete);
    fs::create_directories(root);
    watch.cover("");
    test::write_file(directory / "elsewhere/a", "");
    test::write_file(root / "b", "");
    EXPECT_EQ(files(), Names{"b"});
}

TEST_F(Watch, EndsAWaitForNewsAndForTheToken) {
    using std::chrono::milliseconds;
    EXPECT_FALSE(watch.wait(milliseconds(1), {}));
    std::jthread writer([&] { test::write_file(root / "a", ""); });
    EXPECT_TRUE(watch.wait(milliseconds(20'000), {}));
    writer.join();
    while (watch.wait(milliseconds(1), {})) {
    }
    EXPECT_EQ(files(), Names{"a"});
    std::stop_source stop;
    std::jthread stopper([&] { stop.request_stop(); });
    EXPECT_FALSE(watch.wait(milliseconds(20'000), stop.get_token()));
}

TEST_F(Watch, MissesNothingWhileDirectoriesAreMade) {
    constexpr int files_made = 3000;
    std::set<std::string> named;
    std::jthread writer([&] {
        for (int i = 0; i < files_made; ++i) {
            const fs::path place =
                root / std::to_string(i % 7) / std::to_string(i % 61) / std::to_string(i % 301);
            fs::create_directories(place);
            test::write_file(place / std::to_string(i), "x");
        }
    });
    EXPECT_TRUE(test::eventually([&] {
        const auto changes = drain();
        EXPECT_TRUE(changes.complete);
        named.insert(changes.files.begin(), changes.files.end());
        return named.size() == files_made;
    }));
}

TEST_F(Watch, SaysWhatItCannotCover) {
    EXPECT_EQ(watch.problem(), "");
    watch.cover("not there");
    EXPECT_EQ(watch.problem(), "");
    const LikeOthers like_others(directory.path());
    fs::create_directories(root / "closed");
    ASSERT_EQ(chmod((root / "closed").c_str(), 0), 0);
    EXPECT_FALSE(drain().complete);
    EXPECT_NE(watch.problem().find("closed"), std::string::npos);
    ASSERT_EQ(chmod((root / "closed").c_str(), 0700), 0);
    test::write_file(root / "closed/a", "");
    EXPECT_EQ(files(), Names{"closed/a"});
    EXPECT_EQ(watch.problem(), "");
}

bool allow_watches(const char* most) {
    std::ofstream limit("/proc/sys/user/max_inotify_watches");
    limit << most << std::flush;
    return limit.good();
}

/// In a user namespace with 10 watches. Returns what is wrong.
std::string run_out_of_watches(const fs::path& root) {
    ManualClock clock;
    InotifyWatch few(root, clock);
    few.cover("");
    for (int i = 0; i < 30; ++i) {
        fs::create_directories(root / std::to_string(i));
        test::write_file(root / std::to_string(i) / "file", "");
    }
    const auto changes = few.drain();
    const std::string said = few.problem();
    if (changes.complete || changes.files.size() != 30) {
        return "what was not watched was missed in silence";
    }
    if (said.find("no inotify watches are left") == std::string::npos ||
        said.find("sysctl fs.inotify.max_user_watches") == std::string::npos) {
        return "it does not say what is wrong: " + said;
    }
    if (!allow_watches("1000")) {
        return "the limit cannot be raised";
    }
    for (int i = 0; i < 30; ++i) {
        few.cover(std::to_string(i));  // as the reconcile does
    }
    test::write_file(root / "29/other", "");
    const auto later = few.drain();
    return few.problem().empty() && later.complete && later.files == Names{"29/other"}
               ? ""
               : "it does not go on: " + few.problem();
}

TEST_F(Watch, SaysThatNoWatchesAreLeftAndGoesOnOnceThereAre) {
    constexpr int forbidden = 2;
    const pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWUSER) != 0 || !allow_watches("10")) {
            _exit(forbidden);
        }
        const std::string problem = run_out_of_watches(root);
        std::cerr << problem << std::endl;
        _exit(problem.empty() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == forbidden) {
        GTEST_SKIP() << "no namespace of users can be made here";
    }
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace antipode::files
