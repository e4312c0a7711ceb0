// Forks that share objects on the primary share them on a mirror.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string noise(size_t size, uint32_t seed) {
    std::string bytes;
    for (uint32_t state = seed * 2 + 1; bytes.size() < size;) {
        state = state * 1664525 + 1013904223;
        bytes += static_cast<char>(state >> 24);
    }
    return bytes;
}

class RepositoriesForks : public RepositoriesLane {
  protected:
    std::string on(const std::string& name, const std::vector<std::string>& arguments,
                   const std::string& input = {}) {
        std::vector<std::string> command{"-C", on_primary(name).string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return git(command, input);
    }
    void change(const std::string& name, size_t bytes) {
        const std::string blob =
            on(name, {"hash-object", "-w", "--stdin"}, noise(bytes, ++changes_));
        const std::string tree = on(name, {"mktree"}, "100644 blob " + blob + "\tfile\n");
        on(name, {"update-ref", "refs/heads/b" + std::to_string(changes_),
                  on(name, {"commit-tree", "-m", "a change", tree})});
    }
    /// As GitLab's pools and `git clone --shared` do it.
    void fork_from(const std::string& pool, const std::string& name) {
        std::filesystem::create_directories(on_primary(name).parent_path());
        git({"clone", "--quiet", "--bare", "--shared", on_primary(pool).string(),
             on_primary(name).string()});
        on(name, {"remote", "remove", "origin"});
    }
    void make_network(size_t forks) {
        create("zz/pool.git");  // behind all members in the order of names
        change("zz/pool.git", 2 * limits::mib);
        for (size_t i = 0; i < forks; ++i) {
            const std::string name = "a/fork" + std::to_string(i) + ".git";
            fork_from("zz/pool.git", name);
            change(name, 20'000);
        }
        for (const std::string& name : source_->discover(stop_).found) {
            on(name, {"gc", "--quiet"});
        }
    }
    void expect_all_equal() {
        for (const std::string& name : source_->discover(stop_).found) {
            expect_equal(name);
        }
        EXPECT_EQ(source_->discover(stop_).found, target_->discover(stop_).found);
    }
    static double megabytes(const std::filesystem::path& root) {
        return std::stod(must_run({"du", "-sk", "--exclude=.antipode", root.string()})) / 1024;
    }
    void keep_all() {
        for (const std::string& name : target_->discover(stop_).found) {
            target_->keep_house(name, stop_);
        }
    }
    uint32_t changes_ = 0;
};

TEST_F(RepositoriesForks, StaySharedAndTakeNoMoreRoomThanOnThePrimary) {
    make_network(12);
    const auto all = replicate_reconciled();
    ASSERT_EQ(all.size(), 13U);
    EXPECT_EQ(all.front(), "zz/pool.git");
    expect_all_equal();
    keep_all();
    EXPECT_LT(megabytes(mirror_), 1.2 * megabytes(root_));
    EXPECT_LT(megabytes(directory_ / "packs"), 3);  // nor did it travel more than once
    EXPECT_EQ(read_file(on_secondary("a/fork1.git") / "objects/info/alternates"),
              "../../../zz/pool.git/objects\n");
    // Whoever sees the root elsewhere reads it, too.
    std::filesystem::rename(mirror_, directory_ / "moved");
    git({"-C", (directory_ / "moved/a/fork1.git").string(), "rev-list", "--objects", "--all"});
    std::filesystem::rename(directory_ / "moved", mirror_);
    // Pushes to both, of the same and of other content.
    change("zz/pool.git", limits::mib);
    // The same in a fork, which has its own copy of it then.
    on("a/fork1.git", {"update-ref", "refs/heads/merged",
                       on("zz/pool.git", {"rev-parse", "b" + std::to_string(changes_)})});
    EXPECT_EQ(replicate_reconciled().size(), 2U);
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
    expect_all_equal();
    keep_all();
    expect_all_equal();
    EXPECT_LT(megabytes(mirror_), 1.2 * megabytes(root_));
}

TEST_F(RepositoriesForks, AMemberWaitsForItsPool) {
    make_network(1);
    replicate("zz/pool.git");
    const auto member = capture("a/fork0.git");
    ASSERT_TRUE(member.has_value());
    target_->remove("zz/pool.git");
    const auto result = apply(*member);
    EXPECT_EQ(result.failure, secondary::FailureClass::Transient);
    EXPECT_THAT(result.reason, HasSubstr("zz/pool.git, which is not here yet"));
    EXPECT_EQ(apply(*capture("zz/pool.git", true)).kind, secondary::Result::Kind::Applied);
    EXPECT_EQ(apply(*capture("a/fork0.git", true)).kind, secondary::Result::Kind::Applied);
    expect_all_equal();
}

TEST_F(RepositoriesForks, SharingMayBeginAndEndLater) {
    create("pool.git");
    change("pool.git", 2 * limits::mib);
    git({"clone", "--quiet", "--bare", on_primary("pool.git").string(),
         on_primary("fork.git").string()});
    replicate_reconciled();
    const double before = megabytes(mirror_);
    write_file(on_primary("fork.git") / "objects/info/alternates",
               (on_primary("pool.git") / "objects").string() + "\n");
    on("fork.git", {"repack", "-a", "-d", "-l", "-q"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("fork.git"));
    keep_all();
    expect_all_equal();
    EXPECT_LT(megabytes(mirror_), 0.6 * before);
    on("fork.git", {"repack", "-a", "-d", "-q"});
    std::filesystem::remove(on_primary("fork.git") / "objects/info/alternates");
    EXPECT_THAT(replicate_reconciled(), ElementsAre("fork.git"));
    EXPECT_FALSE(std::filesystem::exists(on_secondary("fork.git") / "objects/info/alternates"));
    std::filesystem::remove_all(on_primary("pool.git"));
    EXPECT_THAT(replicate_reconciled(), ElementsAre("pool.git"));
    expect_all_equal();
}

/// The removal comes before what was done to the members: it is noticed sooner.
TEST_F(RepositoriesForks, APoolIsNotTakenAwayFromUnderItsMembers) {
    make_network(3);
    replicate_reconciled();
    for (int i = 0; i < 3; ++i) {
        const std::string name = "a/fork" + std::to_string(i) + ".git";
        on(name, {"repack", "-a", "-d", "-q"});
        std::filesystem::remove(on_primary(name) / "objects/info/alternates");
    }
    std::filesystem::remove_all(on_primary("zz/pool.git"));
    replicate("zz/pool.git");
    EXPECT_FALSE(std::filesystem::exists(on_secondary("zz/pool.git")));
    for (int i = 0; i < 3; ++i) {
        const std::string name = "a/fork" + std::to_string(i) + ".git";
        EXPECT_EQ(target_->defect(name, stop_), "");
        replicate(name);
    }
    expect_all_equal();
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
}

/// What a fork has from its pool's pool is kept, whatever the pool in between needs of it.
TEST_F(RepositoriesForks, AForkOfAForkKeepsWhatItReachesThroughBoth) {
    create("pool.git");
    change("pool.git", 50'000);
    fork_from("pool.git", "middle.git");
    fork_from("middle.git", "leaf.git");
    change("pool.git", 60'000);  // of this nothing is in the one between
    const std::string commit = on("pool.git", {"rev-parse", "b" + std::to_string(changes_)});
    on("leaf.git", {"update-ref", "refs/heads/from-pool", commit});
    replicate_reconciled();
    // As housekeeping does when much has come: what a pool has is dropped.
    git({"-C", on_secondary("leaf.git").string(), "repack", "-a", "-d", "-l", "-q"});
    expect_all_equal();
    for (const char* name : {"leaf.git", "middle.git"}) {
        on(name, {"repack", "-a", "-d", "-q"});
        std::filesystem::remove(on_primary(name) / "objects/info/alternates");
    }
    std::filesystem::remove_all(on_primary("pool.git"));
    replicate("pool.git");
    for (const char* name : {"leaf.git", "middle.git"}) {
        EXPECT_EQ(target_->defect(name, stop_), "") << name;
        git({"-C", on_secondary(name).string(), "rev-list", "--objects", "--all"});
    }
    replicate_reconciled();
    expect_all_equal();
}

/// Of a former primary, or of a root that was filled by hand.
TEST_F(RepositoriesForks, SharingThatOthersMadeOnTheMirrorIsRespected) {
    make_network(2);
    std::filesystem::copy(root_, mirror_, std::filesystem::copy_options::recursive);
    write_file(on_secondary("a/fork0.git") / "objects/info/alternates",
               (on_secondary("zz/pool.git") / "objects").string() + "\n");
    write_file(on_secondary("a/fork1.git") / "objects/info/alternates",
               "../../../zz/pool.git/objects\n");
    target_->remove("zz/pool.git");
    for (const char* name : {"a/fork0.git", "a/fork1.git"}) {
        EXPECT_EQ(target_->defect(name, stop_), "") << name;
    }
}

TEST_F(RepositoriesForks, ABrokenMemberIsBuiltAnewAndSharesAgain) {
    make_network(2);
    replicate_reconciled();
    std::filesystem::remove(on_secondary("a/fork0.git") / "HEAD");
    EXPECT_EQ(apply(*capture("a/fork0.git", true)).kind, secondary::Result::Kind::Applied);
    expect_all_equal();
    EXPECT_TRUE(std::filesystem::exists(on_secondary("a/fork0.git") / "objects/info/alternates"));
    EXPECT_LT(megabytes(mirror_), 1.2 * megabytes(root_));
}

}  // namespace
}  // namespace antipode::test
