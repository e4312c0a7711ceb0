#include "secondary/repositories/apply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/memory_repositories.hpp"
#include "verify/refs.hpp"

namespace antipode::secondary {
namespace {

using testing::HasSubstr;
using Kind = Result::Kind;

class RepositoryApplyTest : public testing::Test {
  protected:
    test::MemoryRepositories primary_;  ///< what the events are made of
    test::MemoryRepositories here_;
    RepositoryApply apply_{{StoreKind::Repositories, "code"}, here_};

    void SetUp() override { primary_.create("a.git", "sha1", {}); }

    std::string commit(const std::string& ref, const std::string& label,
                       const std::vector<std::string>& parents = {}) {
        const std::string oid = primary_.add_object("a.git", label, parents);
        primary_.set_ref("a.git", ref, RefValue::direct(oid));
        return oid;
    }
    RepositoryRefs refs() { return primary_.stored["a.git"].refs; }

    /// The event that leads from `before` (nothing: everything) to what the primary has now.
    protocol::Event event(const std::optional<RepositoryRefs>& before = std::nullopt) {
        protocol::Event made;
        v1::RefUpdate& update = *made.payload.mutable_ref_update();
        update.set_repository("a.git");
        update.set_object_format("sha1");
        update.set_full(!before);
        if (before) {
            update.set_digest_before(verify::refs_digest(*before).value);
        }
        update.set_digest_after(verify::refs_digest(refs()).value);
        std::vector<std::string> wants;
        std::vector<std::string> haves;
        for (const RefChange& change :
             difference(before.value_or(RepositoryRefs{}).refs, refs().refs)) {
            v1::Ref& ref = *update.add_refs();
            ref.set_name(change.name);
            ref.set_old_oid(change.before.oid);
            ref.set_new_oid(change.after.oid);
            ref.set_old_target(change.before.target);
            ref.set_new_target(change.after.target);
            if (!change.after.oid.empty()) {
                wants.push_back(change.after.oid);
            }
            if (!change.before.oid.empty()) {
                haves.push_back(change.before.oid);
            }
        }
        if (const auto pack = primary_.make_pack("a.git", wants, haves, {})) {
            update.mutable_pack()->set_sha256(std::string(view(pack->sha256)));
            update.mutable_pack()->set_size(pack->size);
            update.mutable_pack()->set_inline_(pack->bytes);
        }
        return made;
    }
    static protocol::Event removal(const std::string& name) {
        protocol::Event made;
        made.payload.mutable_repository_removed()->set_repository(name);
        return made;
    }
    Result apply(const protocol::Event& applied) {
        const ItemTask task{&applied, {}};
        return apply_.apply(std::span(&task, 1), {}).front();
    }
    void expect_equal() { EXPECT_EQ(here_.stored["a.git"].refs, refs()); }
};

TEST_F(RepositoryApplyTest, FollowsUpdatesAndTellsTheDigestOfWhatIsHere) {
    const std::string first = commit("refs/heads/main", "1");
    const Result whole = apply(event());
    EXPECT_EQ(whole.kind, Kind::Applied);
    EXPECT_EQ(whole.digest, verify::refs_digest(refs()));
    const RepositoryRefs before = refs();
    const std::string second = commit("refs/heads/main", "2", {first});
    primary_.set_ref("a.git", "HEAD", RefValue::symbolic("refs/heads/other"));
    const Result update = apply(event(before));
    EXPECT_EQ(update.kind, Kind::Applied);
    EXPECT_EQ(here_.needed.oids, std::vector{second});
    EXPECT_EQ(here_.needed.here, std::set{first}) << "the proof need not go behind it";
    EXPECT_EQ(update.digest, verify::refs_digest(refs()));
    expect_equal();
}

TEST_F(RepositoryApplyTest, TakesAPackThatWasPulledIntoMemory) {
    commit("refs/heads/main", "1");
    protocol::Event pulled = event();
    v1::Content& pack = *pulled.payload.mutable_ref_update()->mutable_pack();
    ItemTask task{&pulled, {}};
    task.bytes = std::make_shared<const std::string>(pack.inline_());
    pack.set_pull(pack.sha256());
    EXPECT_EQ(apply(pulled).kind, Kind::Failed) << "it has not come";
    EXPECT_EQ(apply_.apply(std::span(&task, 1), {}).front().kind, Kind::Applied);
    expect_equal();
}

TEST_F(RepositoryApplyTest, ApplyingTwiceEqualsOnce) {
    const std::string first = commit("refs/heads/main", "1");
    const auto whole = event();
    EXPECT_EQ(apply(whole).kind, Kind::Applied);
    EXPECT_EQ(apply(whole).kind, Kind::Applied);
    const RepositoryRefs before = refs();
    commit("refs/heads/main", "2", {first});
    const auto update = event(before);
    EXPECT_EQ(apply(update).kind, Kind::Applied);
    const Result again = apply(update);
    EXPECT_EQ(again.kind, Kind::Unneeded);
    EXPECT_EQ(again.digest, verify::refs_digest(refs()));
    expect_equal();
}

TEST_F(RepositoryApplyTest, AsksForTheWholeWhenTheUpdateDoesNotJoinOn) {
    const std::string first = commit("refs/heads/main", "1");
    const RepositoryRefs before = refs();
    const auto whole = event();
    const std::string second = commit("refs/heads/main", "2", {first});
    const RepositoryRefs between = refs();
    commit("refs/heads/main", "3", {second});
    const auto late = event(between);
    EXPECT_EQ(apply(late).kind, Kind::NeedsWhole);  // nothing is here
    EXPECT_EQ(apply(whole).kind, Kind::Applied);
    EXPECT_EQ(apply(late).kind, Kind::NeedsWhole);
    EXPECT_EQ(here_.stored["a.git"].refs, before);
    EXPECT_EQ(apply(event()).kind, Kind::Applied);
    expect_equal();
}

TEST_F(RepositoryApplyTest, WholeMakesRefsExactlyThese) {
    commit("refs/heads/main", "1");
    apply(event());
    const std::string stray = here_.add_object("a.git", "stray");
    here_.set_ref("a.git", "refs/heads/stray", RefValue::direct(stray));
    here_.set_ref("a.git", "refs/heads/main", RefValue::direct(stray));
    EXPECT_EQ(apply(event()).kind, Kind::Applied);
    expect_equal();
}

TEST_F(RepositoryApplyTest, FinishesWhatACrashCutShort) {
    const std::string first = commit("refs/heads/main", "1");
    apply(event());
    const RepositoryRefs before = refs();
    commit("refs/heads/main", "2", {first});
    commit("refs/heads/next", "3", {first});
    const auto update = event(before);
    for (const std::string step : {"take_in", "update_ref"}) {
        int steps = 0;
        here_.before_step = [&](const std::string& name) {
            if (name == step && ++steps == (step == "take_in" ? 1 : 2)) {
                throw Error(Reaction::Retry, "crash");
            }
        };
        EXPECT_EQ(apply(update).failure, FailureClass::Transient);
    }
    EXPECT_NE(here_.stored["a.git"].refs, before);
    EXPECT_NE(here_.stored["a.git"].refs, refs());
    here_.before_step = nullptr;
    EXPECT_EQ(apply(update).kind, Kind::Applied);
    expect_equal();
}

TEST_F(RepositoryApplyTest, ALocalWriteIsNeverTakenForAnOldValue) {
    const std::string first = commit("refs/heads/main", "1");
    apply(event());
    const RepositoryRefs before = refs();
    commit("refs/heads/main", "2", {first});
    here_.set_ref("a.git", "refs/heads/main",
                  RefValue::direct(here_.add_object("a.git", "local", {first})));
    EXPECT_EQ(apply(event(before)).kind, Kind::NeedsWhole);
}

TEST_F(RepositoryApplyTest, ARefNeverPointsToAMissingObject) {
    const std::string first = commit("refs/heads/main", "1");
    apply(event());
    const RepositoryRefs before = refs();
    const std::string second = commit("refs/heads/main", "2", {first});
    commit("refs/heads/main", "3", {second});
    auto update = event(before);
    update.payload.mutable_ref_update()->clear_pack();
    EXPECT_EQ(apply(update).kind, Kind::NeedsWhole);
    EXPECT_EQ(here_.stored["a.git"].refs, before);
    auto whole = event();
    whole.payload.mutable_ref_update()->clear_pack();
    EXPECT_EQ(apply(whole).failure, FailureClass::PrimaryDefect);
    EXPECT_EQ(here_.stored["a.git"].refs, before);
}

TEST_F(RepositoryApplyTest, RefusesAPackThatIsNotWhatItsHashSays) {
    commit("refs/heads/main", "1");
    auto whole = event();
    whole.payload.mutable_ref_update()->mutable_pack()->mutable_inline_()->back() = 'x';
    EXPECT_EQ(apply(whole).kind, Kind::Failed);
    EXPECT_TRUE(here_.stored.empty());
}

TEST_F(RepositoryApplyTest, RefusesNamesThatMustNotBecomePaths) {
    for (const char* name : {"../a.git", "/a.git", "-a", ".antipode/trash"}) {
        auto whole = event();
        whole.payload.mutable_ref_update()->set_repository(name);
        EXPECT_EQ(apply(whole).failure, FailureClass::Refused) << name;
        EXPECT_EQ(apply(removal(name)).failure, FailureClass::Refused) << name;
    }
    commit("refs/heads/main", "1");
    apply(event());
    auto inside = event();
    inside.payload.mutable_ref_update()->set_repository("a.git/hooks/b.git");
    EXPECT_EQ(apply(inside).failure, FailureClass::Refused);
    EXPECT_EQ(here_.stored.size(), 1U);
}

TEST_F(RepositoryApplyTest, RemovesOnceAndOnlyRepositories) {
    commit("refs/heads/main", "1");
    apply(event());
    here_.create("group/b.git", "sha1", {});
    EXPECT_EQ(apply(removal("group")).failure, FailureClass::LocalDefect);
    const Result removed = apply(removal("a.git"));
    EXPECT_EQ(removed.kind, Kind::Applied);
    EXPECT_TRUE(removed.digest.empty());
    EXPECT_EQ(apply(removal("a.git")).kind, Kind::Unneeded);
    EXPECT_TRUE(here_.stored.contains("group/b.git"));
}

TEST_F(RepositoryApplyTest, ADamagedCopyIsAskedForAndReplacedByTheWhole) {
    const std::string first = commit("refs/heads/main", "1");
    apply(event());
    const RepositoryRefs before = refs();
    commit("refs/heads/main", "2", {first});
    here_.stored["a.git"].damaged = true;
    EXPECT_EQ(apply(event(before)).kind, Kind::NeedsWhole);
    EXPECT_EQ(apply(event()).kind, Kind::Applied);
    expect_equal();
}

TEST_F(RepositoryApplyTest, OneFailureDoesNotStopTheOthers) {
    commit("refs/heads/main", "1");
    const auto good = event();
    const auto bad = removal("..");
    const std::vector<ItemTask> tasks{{&bad, {}}, {&good, {}}};
    const auto results = apply_.apply(tasks, {});
    ASSERT_EQ(results.size(), 2U);
    EXPECT_EQ(results[0].kind, Kind::Failed);
    EXPECT_EQ(results[1].kind, Kind::Applied);
    here_.root_missing = true;
    EXPECT_THROW(apply_.apply(tasks, {}), Error);
}

}  // namespace
}  // namespace antipode::secondary
