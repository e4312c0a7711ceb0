#include "tests/repositories_lane.hpp"

#include <chrono>
#include <fstream>

#include <gmock/gmock.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/support/process.hpp"
#include "verify/refs.hpp"

namespace antipode::test {
namespace {

using secondary::FailureClass;
using secondary::Result;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Bytes that do not compress, the same for the same seed.
std::string noise(size_t size, uint32_t seed) {
    std::string bytes;
    for (uint32_t state = seed * 2 + 1; bytes.size() < size;) {
        state = state * 1664525 + 1013904223;
        bytes += static_cast<char>(state >> 24);
    }
    return bytes;
}

TEST_F(RepositoriesLane, FollowsPushesOfEveryKind) {
    create("group/app.git");
    install_hooks();
    EXPECT_THAT(replicate_reconciled(), ElementsAre("group/app.git"));  // empty, unborn HEAD
    expect_equal("group/app.git");

    const auto follow = [&] {
        EXPECT_THAT(replicate_noticed(), ElementsAre("group/app.git"));
        expect_equal("group/app.git");
    };
    const std::string name = "group/app.git";
    const std::string tree = work_tree(name).string();
    commit(name, "main", "1");
    push(name, {"main"});
    follow();
    const std::string second = commit(name, "main", "2");
    push(name, {"main"});
    follow();
    git({"-C", tree, "reset", "--quiet", "--hard", "HEAD~1"});
    commit(name, "main", "2, again");
    push(name, {"--force", "main"});
    follow();
    // A non-fast-forward destroys nothing on the mirror.
    EXPECT_EQ(git({"-C", on_secondary(name).string(), "cat-file", "-t", second}), "commit");

    git({"-C", tree, "tag", "light"});
    git({"-C", tree, "tag", "--annotate", "--message", "first", "v1"});
    git({"-C", tree, "tag", "--annotate", "--message", "of a tag", "v1-nested", "v1"});
    const std::string blob = git({"-C", tree, "hash-object", "-w", "--stdin"}, "only a blob");
    git({"-C", tree, "update-ref", "refs/tags/blob", blob});
    git({"-C", tree, "update-ref", "refs/custom/tree", "main^{tree}"});
    git({"-C", tree, "notes", "add", "--message", "a note"});
    push(name, {"--tags", "refs/custom/*", "refs/notes/*"});
    follow();
    EXPECT_EQ(git({"-C", on_secondary(name).string(), "cat-file", "-p", "refs/tags/blob"}),
              "only a blob");
    push(name, {"--delete", "refs/tags/v1", "refs/custom/tree"});
    follow();
}

TEST_F(RepositoriesLane, CarriesUnusualNames) {
    create("r.git");
    const std::string name = "r.git";
    const std::string place = on_primary(name).string();
    commit(name, "main", "1");
    push(name, {"main"});
    for (const char* ref : {"refs/heads/Foo", "refs/heads/foo", "refs/heads/\xc3\xbc\xe2\x82\xac",
                            "refs/heads/-dash", "refs/heads/@", "refs/heads/\xff\xfe",
                            "refs/heads/a'b\"c$d;e", "refs/weird/space-free(){}!,"}) {
        git({"-C", place, "update-ref", ref, "main"});
    }
    for (const char* repository : {"A.git", "a.git", "sp ace/\xc3\xa4.git", "we\\ird'\"$(x).git",
                                   "\xff\xfe.git", "colon:in:name.git", "..dots.git"}) {
        std::filesystem::create_directories(on_primary(repository).parent_path());
        std::filesystem::copy(place, on_primary(repository),
                              std::filesystem::copy_options::recursive);
    }
    install_hooks();
    EXPECT_EQ(replicate_reconciled().size(), 8U);
    for (const std::string& repository : source_->discover(stop_).found) {
        expect_equal(repository);
        git({"-C", on_primary(repository).string(), "update-ref", "refs/heads/next", "main"});
        EXPECT_THAT(replicate_noticed(), ElementsAre(repository));
        expect_equal(repository);
    }
}

TEST_F(RepositoriesLane, FollowsHeadAndSymbolicRefs) {
    create("r.git");
    const std::string place = on_primary("r.git").string();
    commit("r.git", "main", "1");
    push("r.git", {"main", "main:other"});
    git({"-C", place, "symbolic-ref", "refs/heads/alias", "refs/heads/main"});
    git({"-C", place, "symbolic-ref", "refs/heads/alias2", "refs/heads/alias"});
    git({"-C", place, "symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere"});
    replicate("r.git");
    expect_equal_refs("r.git");  // git-fsck(1) would complain of the dangling one, on both sides
    EXPECT_EQ(target_->read_refs("r.git")->refs["refs/heads/alias2"].target, "refs/heads/alias");

    git({"-C", place, "symbolic-ref", "HEAD", "refs/heads/other"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    expect_equal_refs("r.git");
    git({"-C", place, "symbolic-ref", "HEAD", "refs/heads/unborn"});
    git({"-C", place, "update-ref", "--no-deref", "refs/heads/alias", "main"});
    git({"-C", place, "symbolic-ref", "refs/heads/other", "refs/heads/main"});
    git({"-C", place, "symbolic-ref", "--delete", "refs/heads/dangling"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    expect_equal("r.git");
    git({"-C", place, "update-ref", "--no-deref", "HEAD", "main"});  // detached
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, FreesNamesThatOthersNeed) {
    create("r.git");
    const std::string place = on_primary("r.git").string();
    commit("r.git", "main", "1");
    push("r.git", {"main", "main:a", "main:d/e/f", "main:keep/x"});
    replicate("r.git");
    git({"-C", place, "update-ref", "-d", "refs/heads/a"});
    git({"-C", place, "update-ref", "refs/heads/a/b/c", "main"});
    git({"-C", place, "update-ref", "-d", "refs/heads/d/e/f"});
    git({"-C", place, "symbolic-ref", "refs/heads/d", "refs/heads/main"});
    git({"-C", place, "update-ref", "-d", "refs/heads/keep/x"});
    replicate("r.git");
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, MovesTwoThousandRefsAtOnce) {
    create("r.git");
    const std::string place = on_primary("r.git").string();
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate("r.git");
    const std::string oid = git({"-C", place, "rev-parse", "main"});
    std::string input;
    for (int i = 0; i < 2000; ++i) {
        input += "create refs/heads/many/" + std::to_string(i) + " " + oid + "\n";
    }
    git({"-C", place, "update-ref", "--stdin"}, input);
    replicate("r.git");
    expect_equal("r.git");
    git({"-C", place, "pack-refs", "--all", "--prune"});
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
    std::string deletions;
    for (int i = 0; i < 2000; ++i) {
        deletions += "delete refs/heads/many/" + std::to_string(i) + "\n";
    }
    git({"-C", place, "update-ref", "--stdin"}, deletions);
    replicate("r.git");
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, ReconcileFindsWhatNoHookTold) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    EXPECT_THAT(replicate_reconciled(), IsEmpty());
    const std::string place = on_primary("r.git").string();
    const std::string first = git({"-C", place, "rev-parse", "main"});
    const std::string second = commit("r.git", "main", "2");
    push("r.git", {"main:side"});
    replicate_reconciled();
    // A ref that is moved again and again within one tick of the file system's clock.
    for (int i = 0; i < 20; ++i) {
        write_file(on_primary("r.git") / "refs/heads/main", (i % 2 == 0 ? second : first) + "\n");
        EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git")) << i;
    }
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, FollowsRemovalAndRecreation) {
    create("r.git");
    create("other.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate_reconciled();
    std::filesystem::remove_all(on_primary("r.git"));
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    EXPECT_FALSE(std::filesystem::exists(on_secondary("r.git")));
    EXPECT_TRUE(std::filesystem::is_empty(mirror_ / ".antipode/trash"));
    create("r.git");
    std::filesystem::remove_all(work_tree("r.git"));
    commit("r.git", "main", "something else");
    push("r.git", {"main"});
    EXPECT_THAT(replicate_reconciled(), ElementsAre("r.git"));
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, AnUnmountedRootEmptiesNothing) {
    create("r.git");
    replicate_reconciled();
    std::filesystem::rename(root_, directory_ / "elsewhere");
    EXPECT_THROW(capture_->reconcile(stop_), Error);
    EXPECT_THROW(capture_->read("r.git", false, stop_), Error);
    std::filesystem::create_directory(root_);
    try {
        capture_->reconcile(stop_);
        FAIL() << "an empty root was believed";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr(root_.string()));
    }
    EXPECT_THROW(capture_->read("r.git", false, stop_), Error);
}

TEST_F(RepositoriesLane, PullsLargePacks) {
    create("r.git");
    commit("r.git", "main", noise(600 * limits::kib, 1), "large");
    push("r.git", {"main"});
    const auto whole = capture("r.git");
    ASSERT_TRUE(whole.has_value());
    const auto& pack = whole->payload.ref_update().pack();
    ASSERT_TRUE(pack.has_pull());
    EXPECT_EQ(
        std::filesystem::file_size(directory_ / "packs/code" / (to_hex(pack.sha256()) + ".pack")),
        pack.size());
    EXPECT_EQ(apply(*whole).kind, Result::Kind::Applied);
    expect_equal("r.git");

    EXPECT_EQ(source_->drop_kept_packs_before(clock_.now() - std::chrono::hours(1)), 0U);
    EXPECT_EQ(source_->drop_kept_packs_before(clock_.now() + std::chrono::hours(1)), 1U);
    EXPECT_EQ(packs_->open({"repositories/code/content", {{"ref", to_hex(pack.pull())}}}), nullptr);
}

TEST_F(RepositoriesLane, RepeatedAndLateEventsChangeNothing) {
    create("r.git");
    std::vector<protocol::Event> events;
    for (int i = 0; i < 5; ++i) {
        commit("r.git", "main", std::to_string(i));
        push("r.git", {"main"});
        events.push_back(*capture("r.git"));
    }
    // In front of what they build on: nothing happens but the wish for the whole.
    EXPECT_EQ(apply(events[3]).kind, Result::Kind::NeedsWhole);
    EXPECT_EQ(apply(events[0]).kind, Result::Kind::Applied);
    EXPECT_EQ(apply(events[2]).kind, Result::Kind::NeedsWhole);
    EXPECT_EQ(apply(events[1]).kind, Result::Kind::Applied);
    EXPECT_EQ(apply(events[1]).kind, Result::Kind::Unneeded);
    EXPECT_EQ(apply(*capture("r.git", true)).kind, Result::Kind::Applied);
    expect_equal("r.git");
    for (const auto& event : {events[1], events[2], events[3]}) {
        EXPECT_EQ(apply(event).kind, Result::Kind::NeedsWhole);
    }
    EXPECT_EQ(apply(events[4]).kind, Result::Kind::Unneeded);
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, ForcedPushAndPruneOnThePrimary) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    commit("r.git", "main", "2");
    push("r.git", {"main"});
    replicate("r.git");
    const std::string tree = work_tree("r.git").string();
    git({"-C", tree, "reset", "--quiet", "--hard", "HEAD~1"});
    commit("r.git", "main", "3");
    push("r.git", {"--force", "main"});
    // The published tip is gone for good: it cannot be named as what the mirror has.
    git({"-C", on_primary("r.git").string(), "gc", "--quiet", "--prune=now"});
    replicate("r.git");
    expect_equal("r.git");
}

TEST_F(RepositoriesLane, ACorruptRepositoryIsNamedAndOthersGoOn) {
    create("bad.git");
    create("good.git");
    for (const std::string name : {"bad.git", "good.git"}) {
        commit(name, "main", "1");
        push(name, {"main"});
    }
    replicate_reconciled();
    write_file(on_primary("bad.git") / "refs/heads/broken", "no object id\n");
    commit("good.git", "main", "2");
    push("good.git", {"main"});
    const auto expect_named = [&] {
        EXPECT_THAT(capture_->reconcile(stop_).changed, testing::Contains("bad.git"));
        try {
            capture_->read("bad.git", false, stop_);
            FAIL() << "a corrupt repository was read";
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry);
            EXPECT_THAT(error.what(), HasSubstr("bad.git"));
        }
    };
    expect_named();
    replicate("good.git");
    expect_equal("good.git");
    std::filesystem::remove(on_primary("bad.git") / "refs/heads/broken");
    EXPECT_FALSE(capture("bad.git").has_value());
    // Nor is the packed ref of the same name taken for it.
    git({"-C", on_primary("bad.git").string(), "pack-refs", "--all"});
    write_file(on_primary("bad.git") / "refs/heads/main", std::string(40, '\0') + "\n");
    expect_named();
    std::filesystem::remove(on_primary("bad.git") / "refs/heads/main");
    EXPECT_FALSE(capture("bad.git").has_value());

    // An object that a new ref leads to is missing.
    const std::string lost = commit("bad.git", "main", "2");
    push("bad.git", {"main"});
    std::filesystem::remove(on_primary("bad.git") / "objects" / lost.substr(0, 2) / lost.substr(2));
    expect_named();
    // A repository that has lost its HEAD is not a removed one.
    std::filesystem::rename(on_primary("bad.git") / "HEAD", on_primary("bad.git") / "HEAD.away");
    expect_named();
    EXPECT_THAT(capture_->reconcile(stop_).removed, IsEmpty());
}

/// In each of its packs every bit of the byte in the middle is another.
void flip_a_pack(const std::filesystem::path& repository) {
    for (const auto& entry : std::filesystem::directory_iterator(repository / "objects/pack")) {
        if (entry.path().extension() == ".pack") {
            std::string bytes = read_file(entry.path());
            bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
            std::filesystem::remove(entry.path());
            write_file(entry.path(), bytes);
        }
    }
}

TEST_F(RepositoriesLane, AMirrorThatIsDamagedIsMadeAnewWhileTheApplicationPushes) {
    create("r.git");
    for (const bool looked_at : {false, true}) {
        commit("r.git", "main", looked_at ? "1" : "0");
        push("r.git", {"main"});
        replicate("r.git");
        flip_a_pack(on_secondary("r.git"));
        if (looked_at) {
            EXPECT_NE(apply_->look("r.git", {}, stop_).problem, "");
        }
        // What is asked for never finds the refs that are here.
        int asked = 0;
        secondary::Result result;
        do {
            commit("r.git", "main", std::to_string(asked) + (looked_at ? "b" : "a"));
            push("r.git", {"main"});
            result = apply(*capture("r.git", true));
            EXPECT_NE(result.kind, secondary::Result::Kind::Failed) << result.reason;
        } while (result.kind == secondary::Result::Kind::NeedsWhole && ++asked < 3);
        EXPECT_EQ(result.kind, secondary::Result::Kind::Applied) << result.reason;
        expect_equal("r.git");
    }
}

TEST_F(RepositoriesLane, FaithfullyMirrorsWhatFsckComplainsOf) {
    create("old.git");
    const std::string place = on_primary("old.git").string();
    const std::string tree = git({"-C", place, "mktree"}, "");
    const std::string odd =
        "tree " + tree + "\nauthor nobody <> 0 +0000\ncommitter  <x 99999999999999 +9999\n\nx\n";
    const std::string oid =
        git({"-C", place, "hash-object", "-w", "-t", "commit", "--literally", "--stdin"}, odd);
    git({"-C", place, "update-ref", "refs/heads/main", oid});
    replicate("old.git");
    EXPECT_EQ(git({"-C", on_secondary("old.git").string(), "rev-parse", "main"}), oid);
}

TEST_F(RepositoriesLane, Sha256Repositories) {
    create("r.git", {"--object-format=sha256"});
    git({"init", "--quiet", "--object-format=sha256", (directory_ / "work/r.git").string()});
    git({"-C", work_tree("r.git").string(), "remote", "add", "origin",
         on_primary("r.git").string()});
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    git({"-C", on_primary("r.git").string(), "symbolic-ref", "refs/heads/alias",
         "refs/heads/main"});
    replicate("r.git");
    expect_equal("r.git");
    commit("r.git", "main", "2");
    push("r.git", {"main"});
    git({"-C", on_primary("r.git").string(), "pack-refs", "--all"});
    replicate("r.git");
    expect_equal("r.git");
    EXPECT_EQ(target_->read_refs("r.git")->object_format, "sha256");
}

TEST_F(RepositoriesLane, RefsMayMoveWhileTheyAreRead) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    const std::string place = on_primary("r.git").string();
    // A shell that has a trap ends only when the git that it runs has ended.
    const std::string script = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); c=$(git -C " +
                               place + " commit-tree -m $i -p main main^{tree}) && git -C " +
                               place + " update-ref refs/heads/main $c && git -C " + place +
                               " update-ref refs/heads/b$((i%7)) $c; [ $((i%5)) = 0 ] && git -C " +
                               place + " pack-refs --all --prune; done";
    Process::Options options;
    options.environment = {{"GIT_AUTHOR_NAME", "a"},
                           {"GIT_AUTHOR_EMAIL", "a@b"},
                           {"GIT_COMMITTER_NAME", "a"},
                           {"GIT_COMMITTER_EMAIL", "a@b"}};
    Process writer({"sh", "-c", script}, options);
    for (int i = 0; i < 25; ++i) {
        const auto event = capture("r.git");
        if (event) {
            const Result result = apply(*event);
            ASSERT_EQ(result.kind, Result::Kind::Applied) << result.reason;
            EXPECT_EQ(result.digest.value, event->payload.ref_update().digest_after());
            for (const auto& ref : event->payload.ref_update().refs()) {
                EXPECT_FALSE(ref.new_oid().empty() && ref.new_target().empty())
                    << ref.name() << " seemed to be deleted";
            }
        }
    }
    writer.stop();
    replicate("r.git");
    expect_equal("r.git");
}

}  // namespace
}  // namespace antipode::test
