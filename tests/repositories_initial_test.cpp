// A repository that the secondary does not have: it comes in packs that stand on the primary.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/git/pack_progress.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/packed_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;

using secondary::FailureClass;
using secondary::Result;
using testing::IsEmpty;
using testing::SizeIs;

class RepositoriesInitial : public PackedLane {
  protected:
    bool is_kept(const v1::Content& content) {
        return packs_->open({"repositories/code/content", {{"ref", to_hex(content.pull())}}}) !=
               nullptr;
    }
    /// As an older primary makes it.
    static std::optional<protocol::Event> without_index(std::optional<protocol::Event> event) {
        event->payload.mutable_ref_update()->clear_base_index();
        return event;
    }
};

TEST_F(RepositoriesInitial, WhatIsPackedTravelsAsItIs) {
    make_packed("r.git");
    const auto packs = packs_of(on_primary("r.git"));
    ASSERT_THAT(packs, SizeIs(1));
    const std::string bytes = read_file(packs.front());
    const auto event = capture("r.git");
    ASSERT_TRUE(event.has_value());
    const v1::RefUpdate& update = event->payload.ref_update();
    ASSERT_TRUE(update.has_base_index());
    EXPECT_EQ(update.base().sha256(), view(sha256(bytes)));
    EXPECT_FALSE(update.has_pack());
    EXPECT_TRUE(fs::is_empty(directory_ / "packs/code"));  // no copy

    // The primary lets go of it before it is pulled.
    on("r.git", {"repack", "-a", "-d", "-f", "-q", "--window=0"});
    commit("r.git", "main", "later");
    push("r.git", {"main"});
    on("r.git", {"gc", "--quiet", "--prune=now"});
    ASSERT_FALSE(fs::exists(packs.front()));
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    const auto mirrored = packs_of(on_secondary("r.git"));
    ASSERT_THAT(mirrored, SizeIs(1));
    EXPECT_EQ(mirrored.front().filename(), packs.front().filename());
    EXPECT_EQ(fs::hard_link_count(mirrored.front()), 2U);  // not copied either: what was pulled
    EXPECT_EQ(fs::status(mirrored.front()).permissions(), fs::perms(0444));

    replicate("r.git");
    expect_equal("r.git");
    EXPECT_EQ(source_->drop_kept_packs_before(clock_.now() - std::chrono::hours(1)), 0U);
    EXPECT_TRUE(is_kept(update.base()));
    EXPECT_GE(source_->drop_kept_packs_before(clock_.now() + std::chrono::hours(1)), 1U);
    EXPECT_FALSE(is_kept(update.base()));
}

TEST_F(RepositoriesInitial, WhatTheBaseLacksComesBeside) {
    make_packed("r.git");
    commit("r.git", "main", noise(50'000, 9), "loose");
    push("r.git", {"main", "main:refs/heads/other"});
    const auto event = capture("r.git");
    const v1::RefUpdate& update = event->payload.ref_update();
    ASSERT_TRUE(update.has_base());
    ASSERT_TRUE(update.has_pack());
    EXPECT_LT(update.pack().size(), 100'000U);
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
    // Once more, as after a crash between the apply and its record.
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesInitial, WhatChangesLaterComesAsItsDifferenceBitmapOrNot) {
    make_packed("r.git");
    replicate("r.git");
    on("r.git", {"repack", "-adbq"});
    commit("r.git", "main", noise(300 * limits::kib, 1) + "more", "large1");
    push("r.git", {"main"});
    const auto event = capture("r.git");
    ASSERT_TRUE(event);
    EXPECT_LT(event->payload.ref_update().pack().size(), 1000U);
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesInitial, ManyPacksOfWhichNoneHasMostArePackedAnew) {
    create("r.git");
    for (uint32_t i = 1; i <= 4; ++i) {
        commit("r.git", "main", noise(300 * limits::kib, i), "large" + std::to_string(i));
        push("r.git", {"main"});
        on("r.git", {"repack", "-d", "-q"});
    }
    ASSERT_THAT(packs_of(on_primary("r.git")), SizeIs(4));
    const auto event = capture("r.git");
    EXPECT_FALSE(event->payload.ref_update().has_base());
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesInitial, PiecesThatNoRefLeadsToDoNoHarm) {
    make_packed("r.git");
    // A commit whose parent was pruned, in the same pack as everything else.
    const std::string lost = on("r.git", {"commit-tree", "-m", "lost", "main^{tree}"});
    const std::string piece =
        on("r.git", {"commit-tree", "-m", "piece", "-p", lost, "main^{tree}"});
    const std::string all = on("r.git", {"rev-list", "--objects", "--all"});
    replace_pack("r.git", all + "\n" + piece + "\n");
    on("r.git", {"prune"});
    const auto event = capture("r.git");
    ASSERT_TRUE(event->payload.ref_update().has_base());
    ASSERT_FALSE(event->payload.ref_update().has_pack());
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal_refs("r.git");
    git({"-C", on_secondary("r.git").string(), "rev-list", "--objects", "--all"});
}

TEST_F(RepositoriesInitial, NoRefLeadsToAnObjectThatTheBaseLacks) {
    make_packed("r.git");
    const std::string blob = on("r.git", {"rev-parse", "main:large3"});
    std::string all = on("r.git", {"rev-list", "--objects", "--all"}) + "\n";
    const size_t at = all.find(blob);
    all.erase(at, all.find('\n', at) - at + 1);
    replace_pack("r.git", all);
    const auto event = without_index(capture("r.git"));
    ASSERT_TRUE(event->payload.ref_update().has_base());
    const Result result = apply(*event);
    EXPECT_EQ(result.kind, Result::Kind::Failed);
    EXPECT_EQ(result.failure, FailureClass::PrimaryDefect) << result.reason;
    EXPECT_FALSE(target_->read_refs("r.git")->refs.contains("refs/heads/main"));
    EXPECT_THAT(packs_of(on_secondary("r.git")), IsEmpty());
}

TEST_F(RepositoriesInitial, ABrokenBaseIsFollowedByAPackThatIsMadeAnew) {
    make_packed("r.git");
    // What is broken is nothing that git would pack.
    const std::string all = on("r.git", {"rev-list", "--objects", "--all"});
    const std::string blob =
        on("r.git", {"hash-object", "-w", "--stdin"}, noise(300 * limits::kib, 8));
    replace_pack("r.git", all + "\n" + blob + "\n");
    break_object("r.git", blob);
    const auto event = without_index(capture("r.git"));
    ASSERT_TRUE(event->payload.ref_update().has_base());
    const Result result = apply(*event);
    EXPECT_EQ(result.kind, Result::Kind::Failed);
    EXPECT_EQ(result.failure, FailureClass::PrimaryDefect);
    EXPECT_THAT(packs_of(on_secondary("r.git")), IsEmpty());

    const auto again = capture("r.git", true);
    ASSERT_TRUE(again.has_value());
    EXPECT_FALSE(again->payload.ref_update().has_base());
    EXPECT_EQ(apply(*again).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesInitial, ObjectsOfEitherFormatTravelAsTheyAre) {
    create("r.git", {"--object-format=sha256"});
    const std::string blob =
        on("r.git", {"hash-object", "-w", "--stdin"}, noise(300 * limits::kib, 1));
    const std::string tree = on("r.git", {"mktree"}, "100644 blob " + blob + "\tfile\n");
    on("r.git", {"update-ref", "refs/heads/main", on("r.git", {"commit-tree", "-m", "x", tree})});
    on("r.git", {"gc", "--quiet", "--prune=now"});
    const auto event = capture("r.git");
    ASSERT_TRUE(event->payload.ref_update().has_base());
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesInitial, APartialCloneIsPackedByGit) {
    make_packed("r.git");
    write_file(packs_of(on_primary("r.git")).front().replace_extension(".promisor"), "");
    EXPECT_FALSE(capture("r.git")->payload.ref_update().has_base());
}

TEST_F(RepositoriesInitial, AForkComesOnItsOwnPackAndItsPool) {
    make_packed("pool.git");
    git({"clone", "--quiet", "--bare", "--shared", on_primary("pool.git").string(),
         on_primary("fork.git").string()});
    on("fork.git", {"remote", "remove", "origin"});
    commit("fork.git", "topic", noise(400 * limits::kib, 7), "own");
    push("fork.git", {"topic"});
    on("fork.git", {"gc", "--quiet"});
    replicate("pool.git");
    const auto event = capture("fork.git");
    const v1::RefUpdate& update = event->payload.ref_update();
    ASSERT_TRUE(update.has_base());
    EXPECT_LT(update.base().size(), 500 * limits::kib);
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("fork.git");
}

TEST_F(RepositoriesInitial, WhatWasPackedBeforeACrashIsNotPackedAgain) {
    create("r.git");
    const std::string oid = commit("r.git", "main", noise(600 * limits::kib, 1), "large");
    push("r.git", {"main"});
    const auto pack = [&](git::GitRepositories& repositories) {
        return repositories.make_pack("r.git", {from_hex(oid).value()}, {}, stop_)->sha256;
    };
    const auto kept = [&](const Sha256& hash) {
        return directory_ / "packs/code" / (to_hex(hash) + ".pack");
    };
    const Sha256 made = pack(*source_);
    git::GitRepositories next({root_, directory_ / "packs/code"}, clock_);
    next.clean_leftovers();
    // Nothing is left that it could be made of.
    fs::rename(on_primary("r.git") / "objects", directory_ / "aside");
    EXPECT_EQ(pack(next), made);
    EXPECT_THROW(pack(next), Error);  // once
    fs::rename(directory_ / "aside", on_primary("r.git") / "objects");

    EXPECT_EQ(pack(next), made);
    const std::string bytes = read_file(kept(made));
    write_file(kept(made), "broken since");
    EXPECT_EQ(pack(next), made);
    EXPECT_EQ(read_file(kept(made)), bytes);
}

TEST_F(RepositoriesInitial, PackingSaysHowFarItIs) {
    make_packed("r.git");
    ManualClock clock;
    git::PackProgress progress(clock);
    {
        git::PackProgress::Running running(progress, "r.git");
        EXPECT_EQ(progress.describe(), "");  // too short to be noticed
        const auto outcome = git::Program().run(
            on_primary("r.git"),
            {.arguments = {"pack-objects", "--all", "--stdout", "--all-progress"},
             .output_file = directory_ / "pack",
             .on_error = [&](std::string_view piece) { running.hear(piece); }},
            stop_);
        ASSERT_TRUE(outcome.ok()) << outcome.error;
        clock.advance(std::chrono::seconds(3));
        EXPECT_THAT(progress.describe(),
                    testing::StartsWith("packing r.git for 3s: Writing objects: 100% (9/9)"));
    }
    EXPECT_EQ(progress.describe(), "");
}

TEST_F(RepositoriesInitial, KilledAtAnyMomentItIsFinishedByTheNext) {
    make_packed("r.git");
    commit("r.git", "main", noise(50'000, 9), "loose");
    push("r.git", {"main"});
    const auto event = capture("r.git");
    ASSERT_TRUE(event->payload.ref_update().has_base());
    int killed = 0;
    for (int delay = 500; delay < 80'000; delay = delay * 3 / 2) {
        const pid_t pid = fork();
        if (pid == 0) {
            _exit(apply(*event).kind == Result::Kind::Applied ? 0 : 1);
        }
        killed += WIFEXITED(kill_after(pid, std::chrono::microseconds(delay))) ? 0 : 1;
        if (target_->presence("r.git") == Presence::Repository &&
            target_->read_refs("r.git")->refs.contains("refs/heads/main")) {
            // What a reader sees is whole.
            git({"-C", on_secondary("r.git").string(), "rev-list", "--objects", "--all"});
        }
        apply_until_done(*event);
        expect_equal("r.git");
        target_->remove("r.git");
    }
    EXPECT_GT(killed, 4);
}

}  // namespace
}  // namespace antipode::test
