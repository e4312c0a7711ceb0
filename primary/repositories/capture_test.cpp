#include "primary/repositories/capture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/contents.hpp"
#include "tests/support/memory_repositories.hpp"
#include "verify/refs.hpp"

namespace antipode::primary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class RepositoryCaptureTest : public testing::Test {
  protected:
    const StoreId store_{StoreKind::Repositories, "code"};
    test::MemoryRepositories repositories_;
    test::MemoryChanges changes_;
    Inventory inventory_{""};
    RepositoryCapture capture_{store_, repositories_, changes_, inventory_};
    std::stop_token stop_;
    uint64_t number_ = 0;

    void make(const std::string& name) {
        repositories_.create(name, "sha1", {});
        commit(name, "first of " + name);
    }
    std::string commit(const std::string& name, const std::string& label,
                       const std::vector<std::string>& parents = {}) {
        const std::string oid = repositories_.add_object(name, label, parents);
        repositories_.set_ref(name, "refs/heads/main", RefValue::direct(oid));
        return oid;
    }
    void commit_many(const std::string& name, int count) {
        std::vector<std::string> parents;
        for (int i = 0; i < count; ++i) {
            parents = {repositories_.add_object(name, std::to_string(i), parents)};
        }
        repositories_.set_ref(name, "refs/heads/main", RefValue::direct(parents.front()));
    }
    /// The SHA-256 of each pack of one answer, raw.
    static std::vector<std::string> together(PackService& service,
                                             const std::vector<std::string>& references) {
        const auto body = service.open(
            {"repositories/code/contents", {}, protocol::encode_contents_request(references)});
        std::vector<std::string> hashes;
        protocol::ContentsReader reader(references.size(), [&](const auto& pack) {
            hashes.push_back(pack ? std::string(view(sha256(*pack))) : "none");
        });
        std::vector<char> buffer(1000);
        while (const size_t count = body->read(buffer)) {
            reader.feed({buffer.data(), count});
        }
        reader.finish();
        return hashes;
    }
    std::optional<Reading> read(const std::string& name, bool whole = false) {
        return capture_.read(name, whole, stop_);
    }
    /// Reads and records as the publisher does.
    Reading publish(const std::string& name) {
        auto reading = read(name);
        EXPECT_TRUE(reading.has_value());
        const Inventory::Record record{store_, name, reading->published, {1, 1, ++number_}};
        inventory_.record(std::span(&record, 1));
        return *reading;
    }
    RepositoryRefs refs(const std::string& name) { return repositories_.stored[name].refs; }
};

TEST_F(RepositoryCaptureTest, PublishesANewRepositoryWhole) {
    make("a.git");
    const auto noticed = capture_.reconcile(stop_);
    EXPECT_THAT(noticed.changed, ElementsAre("a.git"));
    const v1::RefUpdate update = publish("a.git").payload.ref_update();
    EXPECT_TRUE(update.full());
    EXPECT_EQ(update.repository(), "a.git");
    EXPECT_EQ(update.refs_size(), 2);
    EXPECT_EQ(update.digest_after(), verify::refs_digest(refs("a.git")).value);
    EXPECT_TRUE(update.digest_before().empty());
    EXPECT_TRUE(update.pack().has_inline_());
    EXPECT_THAT(capture_.reconcile(stop_).changed, IsEmpty());
}

TEST_F(RepositoryCaptureTest, PublishesOnlyWhatChanged) {
    make("a.git");
    publish("a.git");
    const std::string digest = verify::refs_digest(refs("a.git")).value;
    const std::string old_oid = refs("a.git").refs["refs/heads/main"].oid;
    const std::string new_oid = commit("a.git", "second", {old_oid});
    changes_.names = {"a.git"};
    EXPECT_THAT(capture_.drain().changed, ElementsAre("a.git"));
    const v1::RefUpdate update = publish("a.git").payload.ref_update();
    EXPECT_FALSE(update.full());
    EXPECT_EQ(update.digest_before(), digest);
    ASSERT_EQ(update.refs_size(), 1);
    EXPECT_EQ(update.refs(0).old_oid(), old_oid);
    EXPECT_EQ(update.refs(0).new_oid(), new_oid);
    EXPECT_EQ(update.pack().inline_(), to_hex(new_oid) + " " + to_hex(old_oid) + "\n");
    EXPECT_FALSE(read("a.git").has_value());
}

TEST_F(RepositoryCaptureTest, NeedsNoPackForDeletionsAndSymbolicRefs) {
    make("a.git");
    const std::string oid = refs("a.git").refs["refs/heads/main"].oid;
    repositories_.set_ref("a.git", "refs/heads/other", RefValue::direct(oid));
    publish("a.git");
    repositories_.set_ref("a.git", "refs/heads/main", {});
    repositories_.set_ref("a.git", "HEAD", RefValue::symbolic("refs/heads/other"));
    const v1::RefUpdate update = publish("a.git").payload.ref_update();
    EXPECT_EQ(update.refs_size(), 2);
    EXPECT_FALSE(update.has_pack());
    EXPECT_EQ(update.refs(0).old_target(), "refs/heads/main");
    EXPECT_EQ(update.refs(0).new_target(), "refs/heads/other");
    EXPECT_TRUE(update.refs(1).new_oid().empty());
}

TEST_F(RepositoryCaptureTest, LargePacksAreKeptForPulling) {
    repositories_.inline_bytes = limits::inline_content_bytes;
    make("a.git");
    commit_many("a.git", 7000);
    const v1::Content pack = publish("a.git").payload.ref_update().pack();
    EXPECT_GT(pack.size(), limits::inline_content_bytes);
    EXPECT_EQ(pack.pull(), pack.sha256());
    EXPECT_TRUE(pack.together());

    PackService service(repositories_);
    EXPECT_THAT(together(service, {pack.pull(), "12", std::string(32, 'x'), pack.pull()}),
                ElementsAre(pack.sha256(), "none", "none", pack.sha256()));
    EXPECT_EQ(service.open({"repositories/code/contents", {}, "malformed"}), nullptr);
    const auto body = service.open({"repositories/code/content", {{"ref", to_hex(pack.pull())}}});
    ASSERT_NE(body, nullptr);
    EXPECT_EQ(body->size(), pack.size());
    EXPECT_EQ(service.open({"repositories/code/content", {{"ref", "12"}}}), nullptr);
    EXPECT_EQ(service.open({"repositories/code/content", {}}), nullptr);
    EXPECT_EQ(service.open({"repositories/code/other", {{"ref", to_hex(pack.pull())}}}), nullptr);
}

TEST_F(RepositoryCaptureTest, VeryLargePacksDoNotComeIntoMemory) {
    repositories_.inline_bytes = limits::inline_content_bytes;
    make("a.git");
    commit_many("a.git", 27'000);
    const v1::Content pack = publish("a.git").payload.ref_update().pack();
    EXPECT_GT(pack.size(), limits::content_in_memory_bytes);
    EXPECT_FALSE(pack.together());
    PackService service(repositories_);
    EXPECT_THAT(together(service, {pack.pull()}), ElementsAre("none"));
}

TEST_F(RepositoryCaptureTest, ASecondaryCanAskForTheWhole) {
    make("a.git");
    publish("a.git");
    const auto reading = read("a.git", true);
    ASSERT_TRUE(reading.has_value());
    EXPECT_TRUE(reading->payload.ref_update().full());
    EXPECT_TRUE(reading->payload.ref_update().has_pack());
    EXPECT_TRUE(read("gone.git", true)->payload.has_repository_removed());
}

TEST_F(RepositoryCaptureTest, WhatCameOnABaseAndIsAskedForAgainIsPackedAnew) {
    repositories_.has_bases = true;
    repositories_.inline_bytes = 0;
    make("a.git");
    const v1::RefUpdate first = publish("a.git").payload.ref_update();
    EXPECT_TRUE(first.has_base());
    EXPECT_FALSE(first.has_pack());
    const v1::RefUpdate again = read("a.git", true)->payload.ref_update();
    EXPECT_FALSE(again.has_base());
    EXPECT_TRUE(again.has_pack());
    EXPECT_TRUE(read("a.git", true)->payload.ref_update().has_base());
    commit("a.git", "second", {refs("a.git").refs["refs/heads/main"].oid});
    EXPECT_FALSE(publish("a.git").payload.ref_update().has_base());  // only what is new
}

TEST_F(RepositoryCaptureTest, PublishesWhatWasForgottenWhole) {
    make("a.git");
    make("b.git");
    publish("a.git");
    publish("b.git");
    inventory_.forget_after({1, 1, 0});
    repositories_.stored.erase("b.git");
    const auto noticed = capture_.reconcile(stop_);
    EXPECT_THAT(noticed.changed, ElementsAre("a.git"));
    EXPECT_THAT(noticed.removed, ElementsAre("b.git"));
    EXPECT_TRUE(read("a.git")->payload.ref_update().full());
    EXPECT_EQ(publish("b.git").payload.repository_removed().repository(), "b.git");
}

TEST_F(RepositoryCaptureTest, NoticesRemovalAndRecreation) {
    make("a.git");
    make("b.git");
    publish("a.git");
    publish("b.git");
    repositories_.stored.erase("a.git");
    EXPECT_THAT(capture_.reconcile(stop_).removed, ElementsAre("a.git"));
    EXPECT_TRUE(publish("a.git").published.removed());
    EXPECT_FALSE(read("a.git").has_value());
    make("a.git");
    EXPECT_THAT(capture_.reconcile(stop_).changed, ElementsAre("a.git"));
    EXPECT_TRUE(publish("a.git").payload.ref_update().full());
}

TEST_F(RepositoryCaptureTest, AnEmptyOrMissingRootIsNoMassDeletion) {
    make("a.git");
    publish("a.git");
    auto all = std::exchange(repositories_.stored, {});
    try {
        capture_.reconcile(stop_);
        FAIL() << "an empty root was believed";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("/memory"));
        EXPECT_FALSE(error.next_step().empty());
    }
    EXPECT_THROW(read("a.git"), Error);
    repositories_.stored = std::move(all);
    repositories_.root_missing = true;
    EXPECT_THROW(capture_.reconcile(stop_), Error);
    EXPECT_THROW(read("a.git"), Error);
}

TEST_F(RepositoryCaptureTest, AnEmptyRootIsFineBeforeAnythingWasThere) {
    const auto noticed = capture_.reconcile(stop_);
    EXPECT_TRUE(noticed.complete);
    EXPECT_TRUE(noticed.changed.empty() && noticed.removed.empty());
}

TEST_F(RepositoryCaptureTest, WhatCannotBeLookedAtIsNotRemoved) {
    make("a/a.git");
    make("b.git");
    publish("a/a.git");
    publish("b.git");
    repositories_.unreadable = {"a/"};
    const auto noticed = capture_.reconcile(stop_);
    EXPECT_THAT(noticed.removed, IsEmpty());
    EXPECT_FALSE(noticed.complete);
    EXPECT_FALSE(capture_.notices_everything());
}

TEST_F(RepositoryCaptureTest, ADamagedRepositoryIsNamedAndOthersGoOn) {
    make("a.git");
    make("b.git");
    publish("a.git");
    publish("b.git");
    repositories_.stored["a.git"].damaged = true;
    commit("b.git", "second");
    const auto noticed = capture_.reconcile(stop_);
    EXPECT_THAT(noticed.changed, ElementsAre("a.git", "b.git"));
    EXPECT_THAT(noticed.removed, IsEmpty());
    try {
        read("a.git");
        FAIL() << "a damaged repository was read";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), HasSubstr("a.git"));
    }
    EXPECT_TRUE(read("b.git").has_value());
}

TEST_F(RepositoryCaptureTest, ReconcileReadsRefsOnlyWhereFilesChanged) {
    make("a.git");
    make("b.git");
    publish("a.git");
    publish("b.git");
    ++repositories_.stored["a.git"].version;  // files changed, refs did not: pack-refs
    const unsigned before = repositories_.ref_reads;
    EXPECT_THAT(capture_.reconcile(stop_).changed, IsEmpty());
    EXPECT_EQ(repositories_.ref_reads, before + 1);
    EXPECT_THAT(capture_.reconcile(stop_).changed, IsEmpty());
    EXPECT_EQ(repositories_.ref_reads, before + 1);
}

TEST_F(RepositoryCaptureTest, NoticesEverythingOnlyWhenEveryRepositoryIsCovered) {
    make("a.git");
    EXPECT_FALSE(capture_.notices_everything());
    capture_.reconcile(stop_);
    EXPECT_TRUE(capture_.notices_everything());
    EXPECT_EQ(capture_.problem(), "");
    changes_.trouble = "no watches are left";
    EXPECT_FALSE(capture_.notices_everything());
    EXPECT_THAT(capture_.problem(), HasSubstr("no watches are left"));
    changes_.trouble.clear();
    EXPECT_TRUE(capture_.notices_everything());
    changes_.uncovered = {"a.git"};
    capture_.reconcile(stop_);
    EXPECT_FALSE(capture_.notices_everything());
    EXPECT_NE(capture_.problem(), "");
}

TEST_F(RepositoryCaptureTest, DrainTellsChangedFromGone) {
    make("a.git");
    make("b.git");
    publish("b.git");
    repositories_.stored.erase("b.git");
    changes_.names = {"a.git", "b.git", "never.git"};
    Noticed noticed = capture_.drain();
    EXPECT_THAT(noticed.changed, ElementsAre("a.git"));
    EXPECT_THAT(noticed.removed, ElementsAre("b.git"));
    EXPECT_TRUE(noticed.complete);
    changes_.complete = false;
    EXPECT_FALSE(capture_.drain().complete);
    EXPECT_TRUE(capture_.drain().complete);
}

TEST_F(RepositoryCaptureTest, AGoneDirectoryTakesItsRepositoriesAlong) {
    for (const char* name : {"x/a.git", "x/y/b.git", "x-z/c.git", "x.git", "x/new.git"}) {
        make(name);
    }
    for (const char* name : {"x/a.git", "x/y/b.git", "x-z/c.git", "x.git"}) {
        publish(name);
    }
    EXPECT_TRUE(read("x/new.git").has_value());  // on its way into the inventory
    for (const char* name : {"x/a.git", "x/y/b.git", "x/new.git"}) {
        repositories_.stored.erase(name);
    }
    changes_.gone_directories = {"x"};
    Noticed noticed = capture_.drain();
    EXPECT_THAT(noticed.changed, IsEmpty());
    EXPECT_THAT(noticed.removed, ElementsAre("x/a.git", "x/new.git", "x/y/b.git"));
    // What came in its place meanwhile is not gone.
    make("x/a.git");
    changes_.gone_directories = {"x"};
    noticed = capture_.drain();
    EXPECT_THAT(noticed.changed, ElementsAre("x/a.git"));
    publish("x/y/b.git");
    changes_.gone_directories = {"x/y"};
    EXPECT_THAT(capture_.drain().removed, IsEmpty());
}

TEST_F(RepositoryCaptureTest, ARepositoryThatIsBeingMadeIsWaitedFor) {
    make("new.git");
    repositories_.stored["new.git"].damaged = true;  // not all of it is there yet
    make("group/x.git");
    changes_.names = {"group", "new.git"};
    Noticed noticed = capture_.drain();
    EXPECT_TRUE(noticed.changed.empty() && noticed.removed.empty() && noticed.complete);
    repositories_.stored["new.git"].damaged = false;
    EXPECT_THAT(capture_.drain().changed, ElementsAre("new.git"));
    EXPECT_THAT(capture_.drain().changed, IsEmpty());

    publish("new.git");
    repositories_.stored["new.git"].damaged = true;
    changes_.names = {"new.git"};
    EXPECT_THAT(capture_.drain().changed, ElementsAre("new.git"));
    EXPECT_THROW(read("new.git"), Error);
}

TEST_F(RepositoryCaptureTest, TooManyHalfMadeOnesAreLeftToTheReconcile) {
    make("a.git");
    for (int i = 0; i < 300; ++i) {
        const std::string group = "group" + std::to_string(i);
        make(group + "/x.git");
        changes_.names.insert(group);
    }
    EXPECT_FALSE(capture_.drain().complete);
    EXPECT_TRUE(capture_.drain().complete);
}

TEST_F(RepositoryCaptureTest, CoversBeforeItLooks) {
    make("a.git");
    repositories_.root_missing = true;
    EXPECT_THROW(capture_.reconcile(stop_), Error);
    EXPECT_EQ(changes_.covered, 1U);
}

TEST(RepositoryStateCodec, ComesBackAndRefusesOtherBytes) {
    const RepositoryState state{"print", {"sha1", {{"HEAD", RefValue::symbolic("refs/heads/x")}}}};
    const RepositoryState back = decode_state(encode_state(state));
    EXPECT_EQ(back.fingerprint, state.fingerprint);
    EXPECT_EQ(back.refs, state.refs);
    EXPECT_THROW(decode_state(""), Error);
    EXPECT_THROW(decode_state("zz\nrefs-1 sha1\n"), Error);
    EXPECT_THROW(decode_state("00\nrefs-9 sha1\n"), Error);
}

}  // namespace
}  // namespace antipode::primary
