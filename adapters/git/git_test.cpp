// What needs no git: processes, the spool's file, conflicts between names, places below a root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/change_spool.hpp"
#include "adapters/git/child_process.hpp"
#include "adapters/git/discovery.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/pack_progress.hpp"
#include "adapters/git/program.hpp"
#include "adapters/git/ref_update.hpp"
#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::git {
namespace {

using test::TemporaryDirectory;
using testing::ElementsAre;
using testing::IsEmpty;

Outcome shell(const std::string& script, std::string_view input = {}) {
    Command command;
    command.arguments = {"/bin/sh", "-c", script};
    command.environment = {"PATH=/usr/bin:/bin"};
    command.input = input;
    return run(command, {});
}

TEST(ChildProcess, PassesInputOutputAndStatus) {
    const std::string input(3'000'000, 'x');
    const Outcome outcome = shell("cat; echo complaint >&2; exit 7", input);
    EXPECT_EQ(outcome.status, 7);
    EXPECT_EQ(outcome.output, input);
    EXPECT_EQ(outcome.complaint(), "complaint");
}

TEST(ChildProcess, SurvivesAChildThatDoesNotRead) {
    EXPECT_EQ(shell("exit 3", std::string(3'000'000, 'x')).status, 3);
    EXPECT_EQ(shell("kill -9 $$").status, -1);
}

TEST(ChildProcess, HasACleanEnvironmentAndNoOpenFiles) {
    EXPECT_EQ(shell("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD=").output,
              "PATH=/usr/bin:/bin\n");
    EXPECT_EQ(shell("ls /proc/self/fd | wc -l").output, "4\n");  // ls opens one
}

TEST(ChildProcess, LimitsOutputAndKeepsTheEndOfStderr) {
    Command command;
    command.arguments = {"/bin/sh", "-c", "yes"};
    command.output_limit = 100'000;
    EXPECT_THROW(run(command, {}), Error);
    const Outcome outcome = shell("yes error | head -n 100000 >&2; echo the end >&2");
    EXPECT_LT(outcome.error.size(), 20'000U);
    EXPECT_TRUE(outcome.error.ends_with("the end\n"));
}

TEST(ChildProcess, TellsWhatCannotBeStarted) {
    Command command;
    command.arguments = {"/no/such/program"};
    const Outcome outcome = run(command, {});
    EXPECT_EQ(outcome.status, 127);
    EXPECT_TRUE(is_system_trouble(outcome));
}

TEST(GitMessages, AreToldApart) {
    const auto saying = [](const std::string& text) {
        Outcome outcome;
        outcome.status = 128;
        outcome.error = text;
        return outcome;
    };
    EXPECT_TRUE(is_system_trouble(saying("fatal: write error: No space left on device")));
    EXPECT_FALSE(is_system_trouble(saying("fatal: bad object")));
    EXPECT_EQ(held_lock(saying("fatal: Unable to create '/a b/refs/heads/x.lock': File exists.")),
              "/a b/refs/heads/x.lock");
    EXPECT_EQ(held_lock(saying("fatal: Unable to create '/a/x.lock': Permission denied")), "");
}

TEST(PackProgress, TellsOfTheFirstAndOfWhatIsLeft) {
    ManualClock clock;
    PackProgress progress(clock);
    PackProgress::Running first(progress, "a\nb.git");
    PackProgress::Running second(progress, "c.git");
    first.hear("Enumerating objects: 400, done.\nCounting objects: 100% (400/400), do");
    first.hear("ne.\nWriting objects:   0% (1/400)\r");
    clock.advance(std::chrono::seconds(10));
    first.hear("Writing objects:  25% (100/400), 3.00 MiB | 0.30 MiB/s\r");
    EXPECT_EQ(
        progress.describe(),
        "packing a\\x0ab.git for 10s: Writing objects:  25% (100/400), 3.00 MiB | 0.30 MiB/s, "
        "about 30s left; and 1 more");
}

TEST(PackProgress, IsNotTakenForWhatIsWrong) {
    EXPECT_EQ(without_progress("Counting objects: 1\rCounting objects: 2\nfatal: bad object x\n"),
              "fatal: bad object x\n");
    EXPECT_EQ(without_progress("killed"), "killed");
}

RefChange created(const std::string& name) {
    return {name, {}, RefValue::direct(std::string(20, 'o'))};
}
RefChange deleted(const std::string& name) {
    return {name, RefValue::direct(std::string(20, 'o')), {}};
}

TEST(RefNameConflicts, AreFreedFirst) {
    EXPECT_THAT(in_the_way({deleted("refs/a"), created("refs/a/b/c"), deleted("refs/x/y"),
                            created("refs/x"), deleted("refs/z"), created("refs/zz")}),
                ElementsAre("refs/a", "refs/x/y"));
    EXPECT_THAT(in_the_way({deleted("refs/a-b"), created("refs/a/b"), created("refs/c")}),
                IsEmpty());
}

TEST(PlacesBelowARoot, CannotBeLeft) {
    for (const char* name : {"a", "a/b", "..a", "a..b/c"}) {
        EXPECT_TRUE(is_safe_relative(name)) << name;
    }
    for (const char* name : {"", "/a", "a/", "a//b", "..", "a/../b", ".", "./a"}) {
        EXPECT_FALSE(is_safe_relative(name)) << name;
    }
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory / "root/real");
    std::filesystem::create_symlink("real", directory / "root/link");
    bool foreign = false;
    EXPECT_TRUE(open_beneath(directory / "root", "real", foreign).valid());
    EXPECT_FALSE(open_beneath(directory / "root", "link", foreign).valid());
    EXPECT_TRUE(foreign);
    EXPECT_FALSE(open_beneath(directory / "root", "none/below", foreign).valid());
    EXPECT_FALSE(foreign);
}

TEST(Discovery, FindsRepositoriesAndOnlyThose) {
    const TemporaryDirectory root;
    const auto make = [&](const std::string& name) {
        test::write_file(root / (name + "/HEAD"), "ref: refs/heads/main\n");
        std::filesystem::create_directories(root / (name + "/objects"));
        std::filesystem::create_directories(root / (name + "/refs"));
    };
    for (const char* name : {"b.git", "a/c.git", "a/d/e/f.git", "b.git/modules/inside",
                             ".antipode/new/x/repository.git", "work/.git"}) {
        make(name);
    }
    make("damaged.git");
    std::filesystem::remove(root / "damaged.git/HEAD");
    std::filesystem::create_symlink("b.git", root / "link.git");
    test::write_file(root / "file", "");
    const antipode::Discovery discovery = discover_repositories(root.path(), {});
    EXPECT_THAT(discovery.found, ElementsAre("a/c.git", "a/d/e/f.git", "b.git", "damaged.git"));
    EXPECT_THAT(discovery.unreadable, IsEmpty());
    EXPECT_THROW(discover_repositories(root / "none", {}), Error);
}

class ChangeSpoolTest : public testing::Test {
  protected:
    TemporaryDirectory directory_;
    ChangeSpool::Options options_{directory_ / "spool/changes", directory_ / "root",
                                  "/usr/lib/antipode/antipode-git-hook", 0622, 200};

    void SetUp() override { std::filesystem::create_directories(directory_ / "root"); }
    std::string record(const std::string& name) const {
        return "\n" + (directory_ / "root").string() + "/" + name + "\n";
    }
    Fd open_spool() const { return open_file(options_.file, O_WRONLY | O_APPEND); }
    static void append(const Fd& fd, const std::string& bytes) {
        ASSERT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    }
};

TEST_F(ChangeSpoolTest, GivesEachNameOnce) {
    ChangeSpool spool(options_);
    const Fd fd = open_spool();
    append(fd, record("b.git") + record("a/x\\x0ay\\x5c.git") + record("b.git"));
    EXPECT_THAT(spool.take().names, ElementsAre("a/x\ny\\.git", "b.git"));
    EXPECT_THAT(spool.take().names, IsEmpty());
    struct stat info {};
    ASSERT_EQ(stat(options_.file.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0622U);
}

TEST_F(ChangeSpoolTest, ACutRecordHarmsNoOther) {
    ChangeSpool spool(options_);
    const Fd fd = open_spool();
    append(fd, record("a.git").substr(0, 9));
    EXPECT_THAT(spool.take().names, IsEmpty());
    append(fd, record("b.git"));
    const auto taken = spool.take();
    EXPECT_THAT(taken.names, ElementsAre("b.git"));
    EXPECT_FALSE(taken.complete);  // the cut one may have been anything
}

TEST_F(ChangeSpoolTest, WhatIsNotBelowTheRootIsDoubt) {
    for (const std::string bad : {"\n*\n", "\n/elsewhere/a.git\n", "\nrelative\n"}) {
        ChangeSpool spool(options_);
        append(open_spool(), bad);
        EXPECT_FALSE(spool.take().complete) << bad;
        std::filesystem::remove(options_.file);
    }
    ChangeSpool spool(options_);
    append(open_spool(), record("../x") + record("a//b"));
    const auto taken = spool.take();
    EXPECT_FALSE(taken.complete);
    EXPECT_THAT(taken.names, IsEmpty());
    append(open_spool(), record(".antipode/new/x") + record("work/.git"));
    EXPECT_TRUE(spool.take().complete);
}

TEST_F(ChangeSpoolTest, AFileThatIsTakenAwayOrCutIsDoubt) {
    ChangeSpool spool(options_);
    std::filesystem::remove(options_.file);
    EXPECT_FALSE(spool.take().complete);
    EXPECT_TRUE(spool.take().complete);
    append(open_spool(), record("a.git"));
    spool.take();
    std::filesystem::resize_file(options_.file, 0);
    EXPECT_FALSE(spool.take().complete);
}

TEST_F(ChangeSpoolTest, TheNextDaemonReadsWhatIsThere) {
    append((ChangeSpool(options_), open_spool()), record("a.git"));
    EXPECT_THAT(ChangeSpool(options_).take().names, ElementsAre("a.git"));
}

TEST_F(ChangeSpoolTest, IsReplacedWithoutLosingALateWriter) {
    ChangeSpool spool(options_);
    const Fd late = open_spool();
    ASSERT_EQ(flock(late.get(), LOCK_SH | LOCK_NB), 0);
    append(late, std::string(300, '\n'));
    spool.take();  // replaces the file
    const auto replaced = options_.file.string() + ".replaced";
    EXPECT_TRUE(std::filesystem::exists(replaced));
    append(open_spool(), record("new.git"));
    append(late, record("late.git"));
    EXPECT_THAT(spool.take().names, ElementsAre("late.git", "new.git"));
    append(late, record("later.git"));
    EXPECT_THAT(spool.take().names, ElementsAre("later.git"));
    EXPECT_TRUE(std::filesystem::exists(replaced));
    flock(late.get(), LOCK_UN);
    spool.take();
    EXPECT_FALSE(std::filesystem::exists(replaced));
    EXPECT_LT(std::filesystem::file_size(options_.file), 300U);
}

}  // namespace
}  // namespace antipode::git
