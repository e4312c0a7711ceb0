#include "primary/repositories/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "tests/support/memory_files.hpp"
#include "tests/support/memory_repositories.hpp"

namespace antipode::primary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A watch that remembers what it is asked to cover, and can be in trouble.
class RecordingWatch final : public FileWatch {
  public:
    explicit RecordingWatch(test::MemoryTree& tree) : inner_(tree) {}
    void exclude(std::function<bool(const std::string& path)> excluded) override {
        inner_.exclude(std::move(excluded));
    }
    void cover(const std::string& directory) override {
        if (before_cover) {
            before_cover(directory);
        }
        covered.insert(directory);
    }
    Changes drain() override { return inner_.drain(); }
    bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override {
        return inner_.wait(timeout, stop);
    }
    std::string problem() const override { return trouble; }
    void lose_everything() { inner_.lose_everything(); }

    std::set<std::string> covered;
    std::function<void(const std::string&)> before_cover;
    std::string trouble;

  private:
    test::MemoryWatch inner_;
};

class RepositoryWatchTest : public testing::Test {
  protected:
    ManualClock clock_;
    test::MemoryTree tree_{clock_};
    RecordingWatch files_{tree_};
    test::MemoryChanges hooks_;
    RepositoryWatch watch_{hooks_, tree_, files_};
    std::stop_token stop_;

    void directories(const std::string& path) {
        std::set<std::string> made;
        ASSERT_EQ(make_directories(tree_, path, made), std::nullopt);
    }
    void make(const std::string& name) {
        directories(name + "/refs/heads");
        directories(name + "/refs/tags");
        directories(name + "/objects/pack");
        directories(name + "/hooks");
        tree_.put(name + "/HEAD", "ref: refs/heads/main\n");
    }
    /// Forgets what was reported so far.
    void settle() { watch_.take(); }
    std::vector<std::string> names() {
        const auto taken = watch_.take();
        EXPECT_TRUE(taken.complete);
        return taken.names;
    }
};

TEST_F(RepositoryWatchTest, NamesTheRepositoryThatAChangeIsIn) {
    make("a.git");
    make("group/sub/b.git");
    EXPECT_THAT(names(), ElementsAre("a.git", "group/sub/b.git"));
    for (const char* file : {"HEAD", "packed-refs", "refs/heads/main", "refs/heads/refs/HEAD"}) {
        tree_.put(std::string("group/sub/b.git/") + file, "x");
        EXPECT_THAT(names(), ElementsAre("group/sub/b.git")) << file;
    }
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(RepositoryWatchTest, OnePushIsNamedOnceWithItsHook) {
    make("a.git");
    settle();
    tree_.put("a.git/refs/heads/main.lock", "1");
    tree_.rename("a.git/refs/heads/main.lock", "a.git/refs/heads/main");
    tree_.put("a.git/refs/heads/other", "1");
    hooks_.names = {"a.git", "b.git"};
    EXPECT_THAT(names(), ElementsAre("a.git", "b.git"));
}

TEST_F(RepositoryWatchTest, IgnoresWhatIsNoRef) {
    make("a.git");
    settle();
    for (const char* file :
         {"objects/ab/cdef", "objects/pack/x.pack", "logs/HEAD", "hooks/update", "info/refs",
          "worktrees/w/HEAD", "branches/refs/heads/x", "config", "HEAD.lock", "packed-refs.lock",
          "packed-refs.new", "refs/heads/main.lock", "lfs/refs/x"}) {
        tree_.put(std::string("a.git/") + file, "x");
    }
    tree_.put(".antipode/new/c.git/HEAD", "x");
    tree_.put("checkout/.git/HEAD", "x");
    tree_.put("group/README", "x");
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(RepositoryWatchTest, NamespacesMayBeCalledAsPartsOfRepositoriesAre) {
    for (const char* name : {"objects/a.git", "refs/b.git", "group/refs/c.git", "logs/hooks/d.git",
                             "group/objects/e.git"}) {
        make(name);
    }
    watch_.cover(stop_);
    EXPECT_TRUE(files_.covered.contains("objects/a.git/refs/heads"));
    EXPECT_TRUE(files_.covered.contains("refs/b.git/refs/heads"));
    EXPECT_TRUE(files_.covered.contains("group/refs/c.git/refs/heads"));
    EXPECT_TRUE(files_.covered.contains("logs/hooks/d.git/refs/heads"));
    settle();
    tree_.put("objects/a.git/refs/heads/x", "1");
    tree_.put("refs/b.git/refs/heads/x", "1");
    tree_.put("group/refs/c.git/refs/heads/x", "1");
    tree_.put("logs/hooks/d.git/HEAD", "1");
    const auto named = names();
    for (const char* name : {"objects/a.git", "refs/b.git", "logs/hooks/d.git"}) {
        EXPECT_THAT(named, testing::Contains(name));
    }
}

TEST_F(RepositoryWatchTest, CoversRefsAndNothingElseOfARepository) {
    make("group/a.git");
    directories("group/a.git/refs/heads/topic");
    directories("group/a.git/objects/ab");
    directories("checkout/.git/refs");
    directories(".antipode/incoming");
    EXPECT_THAT(watch_.problem(), HasSubstr("/memory"));
    watch_.cover(stop_);
    EXPECT_THAT(files_.covered,
                ElementsAre("", "checkout", "group", "group/a.git", "group/a.git/refs",
                            "group/a.git/refs/heads", "group/a.git/refs/heads/topic",
                            "group/a.git/refs/tags"));
    EXPECT_EQ(watch_.problem(), "");
}

TEST_F(RepositoryWatchTest, CoversADirectoryBeforeItListsIt) {
    make("a.git");
    files_.before_cover = [&](const std::string& directory) {
        if (directory.empty()) {
            make("b.git");
        } else if (directory == "b.git/refs/heads") {
            directories("b.git/refs/heads/late");
        }
    };
    watch_.cover(stop_);
    EXPECT_TRUE(files_.covered.contains("b.git/refs/heads/late"));
}

TEST_F(RepositoryWatchTest, NamesRepositoriesThatAppearAndThatGoAway) {
    make("group/a.git");
    tree_.put("group/a.git/refs/heads/main", "1");
    settle();
    tree_.move_all("group", "other");
    auto taken = watch_.take();
    EXPECT_THAT(taken.names, testing::Contains("other/a.git"));
    EXPECT_THAT(taken.gone_directories, ElementsAre("group"));
    tree_.remove_all("other/a.git");
    taken = watch_.take();
    EXPECT_THAT(taken.names, testing::Contains("other/a.git"));
    EXPECT_THAT(taken.gone_directories, testing::Contains("other/a.git"));
}

TEST_F(RepositoryWatchTest, ADirectoryOfRefsThatGoesAwayChangesItsRepository) {
    make("a.git");
    tree_.put("a.git/refs/heads/topic/x", "1");
    settle();
    tree_.move_all("a.git/refs/heads/topic", "a.git/objects/away");
    EXPECT_THAT(names(), ElementsAre("a.git"));
}

TEST_F(RepositoryWatchTest, TellsOfWhatWasLost) {
    settle();
    files_.lose_everything();
    EXPECT_FALSE(watch_.take().complete);
    hooks_.complete = false;
    EXPECT_FALSE(watch_.take().complete);
    EXPECT_TRUE(watch_.take().complete);
    tree_.set_mounted(false);
    EXPECT_FALSE(watch_.take().complete);
    EXPECT_TRUE(watch_.take().complete);  // told once: the reconcile fails until it is there
    tree_.set_mounted(true);
    EXPECT_FALSE(watch_.take().complete);
    EXPECT_TRUE(watch_.take().complete);
}

TEST_F(RepositoryWatchTest, WhatIsNotWatchedIsCoveredByHooksOnly) {
    make("a.git");
    make("b.git");
    hooks_.uncovered = {"a.git"};
    EXPECT_FALSE(watch_.covers("a.git"));  // not watched yet
    EXPECT_TRUE(watch_.covers("b.git"));
    watch_.cover(stop_);
    EXPECT_TRUE(watch_.covers("a.git"));
    files_.trouble = "no inotify watches are left";
    EXPECT_FALSE(watch_.covers("a.git"));
    EXPECT_TRUE(watch_.covers("b.git"));
    EXPECT_EQ(watch_.problem(), "no inotify watches are left");
}

TEST_F(RepositoryWatchTest, StopsInTheMiddleOfCovering) {
    make("a.git");
    std::stop_source source;
    files_.before_cover = [&](const std::string&) { source.request_stop(); };
    EXPECT_THROW(watch_.cover(source.get_token()), Stopped);
    EXPECT_NE(watch_.problem(), "");
}

}  // namespace
}  // namespace antipode::primary
