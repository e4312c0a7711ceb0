#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "primary/repositories/watch.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using primary::Noticed;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

/// Real git and inotify, and no hook but where a test installs them.
class WatchedRepositories : public RepositoriesLane {
  protected:
    WatchedRepositories() { start(); }

    /// As the daemon does at its start.
    void start() {
        capture_.reset();
        changes_.reset();
        watch_ = std::make_unique<files::InotifyWatch>(root_, clock_);
        changes_ = std::make_unique<primary::RepositoryWatch>(*spool_, tree_, *watch_);
        capture_ = std::make_unique<primary::RepositoryCapture>(
            StoreId{StoreKind::Repositories, "code"}, *source_, *changes_, inventory_);
        replicate_reconciled();
    }
    void fill(const std::string& name, const std::string& content = "1") {
        create(name);
        commit(name, "main", content);
        push(name, {"main"});
    }
    void expect_nothing_left() {
        const Noticed noticed = capture_->reconcile(stop_);
        EXPECT_THAT(noticed.changed, IsEmpty());
        EXPECT_THAT(noticed.removed, IsEmpty());
        EXPECT_TRUE(capture_->notices_everything()) << capture_->problem();
    }
    /// How many directories this process watches.
    static size_t watched_directories() {
        size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
            std::ifstream info(entry.path());
            for (std::string line; std::getline(info, line);) {
                count += line.starts_with("inotify wd:") ? 1 : 0;
            }
        }
        return count;
    }

    files::PosixTree tree_{root_};
    std::unique_ptr<files::InotifyWatch> watch_;
    std::unique_ptr<primary::RepositoryWatch> changes_;
};

TEST_F(WatchedRepositories, NewOnesAndTheirPushesAreNoticedWithoutHooks) {
    EXPECT_TRUE(capture_->notices_everything()) << capture_->problem();
    create("group/sub/r.git");
    EXPECT_THAT(replicate_noticed(), ElementsAre("group/sub/r.git"));
    expect_equal("group/sub/r.git");
    for (const char* content : {"1", "2"}) {
        commit("group/sub/r.git", "main", content);
        push("group/sub/r.git", {"main", "main:topic/a/b"});
        EXPECT_THAT(replicate_noticed(), ElementsAre("group/sub/r.git"));
        expect_equal("group/sub/r.git");
    }
    push("group/sub/r.git", {"--delete", "topic/a/b"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("group/sub/r.git"));
    expect_equal("group/sub/r.git");
    expect_nothing_left();
}

TEST_F(WatchedRepositories, AHookedPushIsNamedOnce) {
    fill("r.git");
    install_hooks();
    replicate_noticed();
    commit("r.git", "main", "2");
    push("r.git", {"main", "main:other"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    EXPECT_THAT(replicate_noticed(), IsEmpty());
    expect_equal("r.git");
}

TEST_F(WatchedRepositories, DeletionIsNoticed) {
    fill("group/r.git");
    fill("group/other.git");
    replicate_noticed();
    std::filesystem::remove_all(on_primary("group/r.git"));
    const Noticed noticed = capture_->drain();
    EXPECT_THAT(noticed.removed, ElementsAre("group/r.git"));
    EXPECT_THAT(noticed.changed, IsEmpty());
    EXPECT_TRUE(noticed.complete);
    replicate("group/r.git");
    EXPECT_FALSE(std::filesystem::exists(on_secondary("group/r.git")));
    expect_nothing_left();

    fill("group/r.git", "made again");
    EXPECT_THAT(replicate_noticed(), ElementsAre("group/r.git"));
    expect_equal("group/r.git");
}

TEST_F(WatchedRepositories, ADeletionInProgressEndsAsARemoval) {
    fill("r.git");
    fill("other.git");
    replicate_noticed();
    for (const char* part : {"refs/heads/main", "HEAD", "objects", "refs"}) {
        std::filesystem::remove_all(on_primary("r.git") / part);
        const Noticed noticed = capture_->drain();
        EXPECT_THAT(noticed.removed, IsEmpty()) << part;
        EXPECT_TRUE(noticed.complete) << part;
    }
    EXPECT_THROW(capture_->read("r.git", false, stop_), Error);
    std::filesystem::remove_all(on_primary("r.git"));
    EXPECT_THAT(capture_->drain().removed, ElementsAre("r.git"));
    EXPECT_TRUE(capture_->read("r.git", false, stop_)->payload.has_repository_removed());
}

TEST_F(WatchedRepositories, NamespacesAreRenamedAndRemoved) {
    fill("keep.git");
    fill("group/a.git");
    fill("group/sub/b.git");
    replicate_noticed();
    std::filesystem::rename(on_primary("group"), on_primary("renamed"));
    Noticed noticed = capture_->drain();
    EXPECT_THAT(noticed.removed, ElementsAre("group/a.git", "group/sub/b.git"));
    EXPECT_THAT(noticed.changed, ElementsAre("renamed/a.git", "renamed/sub/b.git"));
    for (const char* name :
         {"group/a.git", "group/sub/b.git", "renamed/a.git", "renamed/sub/b.git"}) {
        replicate(name);
    }
    expect_equal("renamed/sub/b.git");
    EXPECT_FALSE(std::filesystem::exists(on_secondary("group/a.git")));
    // It is watched under its new name.
    git({"-C", on_primary("renamed/a.git").string(), "update-ref", "refs/heads/x", "main"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("renamed/a.git"));

    std::filesystem::rename(on_primary("renamed/a.git"), on_primary("renamed/c.git"));
    EXPECT_THAT(replicate_noticed(), ElementsAre("renamed/c.git", "renamed/a.git"));
    std::filesystem::rename(on_primary("renamed"), directory_ / "outside");
    noticed = capture_->drain();
    EXPECT_THAT(noticed.removed, ElementsAre("renamed/c.git", "renamed/sub/b.git"));
    std::filesystem::rename(directory_ / "outside", on_primary("back"));
    EXPECT_THAT(capture_->drain().changed, ElementsAre("back/c.git", "back/sub/b.git"));
}

TEST_F(WatchedRepositories, SymbolicRefsAndDeletedRefsAreNoticed) {
    fill("r.git");
    replicate_noticed();
    const std::string place = on_primary("r.git").string();
    const auto follow = [&] {
        EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
        expect_equal_refs("r.git");
    };
    git({"-C", place, "symbolic-ref", "HEAD", "refs/heads/other"});
    follow();
    git({"-C", place, "symbolic-ref", "refs/heads/alias", "refs/heads/main"});
    follow();
    git({"-C", place, "update-ref", "--no-deref", "-d", "refs/heads/alias"});
    follow();
    git({"-C", place, "pack-refs", "--all", "--prune"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    git({"-C", place, "update-ref", "-d", "refs/heads/main"});  // from the packed ones only
    follow();
}

TEST_F(WatchedRepositories, GarbageCollectionPublishesNothing) {
    fill("r.git");
    push("r.git", {"main:a/b", "main:c"});
    replicate_noticed();
    const uint64_t published = number_;
    git({"-C", on_primary("r.git").string(), "gc", "--quiet", "--prune=now"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    EXPECT_EQ(number_, published);
    EXPECT_THAT(replicate_noticed(), IsEmpty());
    // The directories that it pruned are watched again when they are made again.
    git({"-C", on_primary("r.git").string(), "update-ref", "refs/heads/a/d", "main"});
    replicate_noticed();
    git({"-C", on_primary("r.git").string(), "update-ref", "refs/heads/a/e", "main"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    expect_equal("r.git");
}

TEST_F(WatchedRepositories, DirectWritesOfRefsAreNoticed) {
    fill("r.git");
    const std::string first = git({"-C", on_primary("r.git").string(), "rev-parse", "main"});
    commit("r.git", "main", "2");
    push("r.git", {"main:other"});
    replicate_noticed();
    write_file(on_primary("r.git") / "refs/heads/direct", first + "\n");
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    expect_equal("r.git");
    // In place, and through a lock and a rename, as libgit2 and JGit do.
    const std::string second = git({"-C", on_primary("r.git").string(), "rev-parse", "other"});
    write_file(on_primary("r.git") / "refs/heads/direct", second + "\n");
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    std::filesystem::create_directories(on_primary("r.git") / "refs/changes/01/1");
    write_file(on_primary("r.git") / "refs/changes/01/1/1.lock", first + "\n");
    EXPECT_THAT(replicate_noticed(), IsEmpty());
    std::filesystem::rename(on_primary("r.git") / "refs/changes/01/1/1.lock",
                            on_primary("r.git") / "refs/changes/01/1/1");
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
    expect_equal("r.git");
}

TEST_F(WatchedRepositories, TwoHundredAreMadeAtOnce) {
    std::string script;
    std::vector<std::string> names;
    for (int i = 0; i < 200; ++i) {
        names.push_back("many/" + std::to_string(i % 10) + "/" + std::to_string(i) + ".git");
        script += "git init --quiet --bare " + on_primary(names.back()).string() + "\n";
    }
    Process makers({"sh", "-c", script}, {});
    std::set<std::string> noticed;
    const auto drain = [&] {
        const Noticed news = capture_->drain();
        EXPECT_TRUE(news.complete);
        EXPECT_THAT(news.removed, IsEmpty());
        noticed.insert(news.changed.begin(), news.changed.end());
    };
    while (makers.running()) {
        watch_->wait(std::chrono::milliseconds(50), stop_);
        drain();
    }
    drain();
    EXPECT_EQ(noticed.size(), names.size());
    for (const std::string& name : names) {
        ASSERT_TRUE(noticed.contains(name)) << name;
    }
    EXPECT_TRUE(capture(names.front()).has_value());
    EXPECT_TRUE(capture(names.back()).has_value());
    EXPECT_EQ(capture_->reconcile(stop_).changed.size(), names.size() - 2);
    EXPECT_TRUE(capture_->notices_everything()) << capture_->problem();
}

TEST_F(WatchedRepositories, ARepositoryThatIsCopiedInAnyOrderIsNoticedWhenItIsWhole) {
    fill("r.git");
    replicate_noticed();
    std::filesystem::create_directory(on_primary("copy.git"));
    for (const char* part : {"HEAD", "config", "objects"}) {
        EXPECT_THAT(capture_->drain().changed, IsEmpty()) << part;
        std::filesystem::copy(on_primary("r.git") / part, on_primary("copy.git") / part,
                              std::filesystem::copy_options::recursive);
    }
    EXPECT_THAT(capture_->drain().changed, IsEmpty());
    std::filesystem::create_directories(on_primary("copy.git/refs"));  // no file to be told of
    EXPECT_THAT(replicate_noticed(), ElementsAre("copy.git"));
    expect_equal("copy.git");
}

TEST_F(WatchedRepositories, ObjectsAreNotWatched) {
    const size_t before = watched_directories();
    create("r.git");
    replicate_noticed();
    for (int i = 0; i < 20; ++i) {
        commit("r.git", "main", std::to_string(i));
        push("r.git", {"main"});
        replicate_noticed();
    }
    // Itself, its refs, heads and tags; made while it was watched, a few more.
    const size_t made = watched_directories() - before;
    EXPECT_LE(made, 12U);
    start();
    EXPECT_EQ(watched_directories() - before, 4U);
}

TEST_F(WatchedRepositories, NamespacesCalledObjectsAndRefsAreWatched) {
    fill("objects/r.git");
    fill("group/refs/r.git");
    EXPECT_THAT(capture_->drain().changed, ElementsAre("group/refs/r.git", "objects/r.git"));
    start();
    for (const std::string name : {"objects/r.git", "group/refs/r.git"}) {
        git({"-C", on_primary(name).string(), "update-ref", "refs/heads/x", "main"});
        EXPECT_THAT(replicate_noticed(), ElementsAre(name));
        expect_equal(name);
    }
    expect_nothing_left();
}

TEST_F(WatchedRepositories, ALinkToRefsElsewhereIsNotClaimed) {
    fill("r.git");
    std::filesystem::rename(on_primary("r.git/refs"), directory_ / "refs");
    std::filesystem::create_symlink(directory_ / "refs", on_primary("r.git/refs"));
    capture_->reconcile(stop_);
    EXPECT_FALSE(capture_->notices_everything());
    EXPECT_NE(capture_->problem(), "");
}

TEST_F(WatchedRepositories, AReplacedRootIsReconciled) {
    fill("r.git");
    replicate_noticed();
    std::filesystem::rename(root_, directory_ / "elsewhere");
    EXPECT_FALSE(capture_->drain().complete);
    std::filesystem::create_directory(root_);
    EXPECT_FALSE(capture_->drain().complete);
    EXPECT_THROW(capture_->reconcile(stop_), Error);
    std::filesystem::remove(root_);
    std::filesystem::rename(directory_ / "elsewhere", root_);
    EXPECT_FALSE(capture_->drain().complete);
    expect_nothing_left();
    git({"-C", on_primary("r.git").string(), "update-ref", "refs/heads/x", "main"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("r.git"));
}

TEST_F(WatchedRepositories, FiveThousandRefsAtOnceAreOneChange) {
    fill("group/r.git");
    replicate_noticed();
    const std::string place = on_primary("group/r.git").string();
    const std::string oid = git({"-C", place, "rev-parse", "main"});
    std::string input;
    for (int i = 0; i < 5000; ++i) {
        input += "create refs/heads/many/" + std::to_string(i) + " " + oid + "\n";
    }
    git({"-C", place, "update-ref", "--stdin"}, input);
    EXPECT_THAT(capture_->drain().changed, ElementsAre("group/r.git"));
}

}  // namespace
}  // namespace antipode::test
