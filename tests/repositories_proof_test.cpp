// A repository that came with the index of another site: it is there at once, and counts as
// verified when its objects were read.
#include <gmock/gmock.h>

#include "base/digest.hpp"
#include "secondary/registry.hpp"
#include "secondary/sweep.hpp"
#include "tests/packed_lane.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;

using secondary::Exception;
using secondary::FailureClass;
using secondary::Registry;
using secondary::Result;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// gitformat-pack(5), version 2, of SHA-1: what a damaged disk or a wrong program makes of it.
class PackIndex {
  public:
    explicit PackIndex(std::string bytes) : bytes_(std::move(bytes)) {}

    size_t count() const { return number(head + 255 * 4); }
    size_t find(const std::string& oid) const {
        for (size_t i = 0; i < count(); ++i) {
            if (bytes_.substr(names() + i * 20, 20) == from_hex(oid)) {
                return i;
            }
        }
        throw std::runtime_error("not in the index: " + oid);
    }
    void exchange_offsets(size_t a, size_t b) {
        const std::string saved = bytes_.substr(offset_at(a), 4);
        bytes_.replace(offset_at(a), 4, bytes_.substr(offset_at(b), 4));
        bytes_.replace(offset_at(b), 4, saved);
    }
    /// Still in order, as the names are far from each other.
    void rename(size_t i) { bytes_.at(names() + i * 20 + 19) ^= 1; }
    void leave_out(size_t i) {
        const auto first = static_cast<unsigned char>(bytes_.at(names() + i * 20));
        const size_t crcs = names() + count() * 20;
        bytes_.erase(offset_at(i), 4).erase(crcs + i * 4, 4).erase(names() + i * 20, 20);
        for (size_t byte = first; byte < 256; ++byte) {
            set_number(head + byte * 4, number(head + byte * 4) - 1);
        }
    }
    void point_behind_the_pack(size_t i) { set_number(offset_at(i), 0x7fffffff); }
    void of_another_pack() { bytes_.at(bytes_.size() - 40) ^= 1; }
    void flip(size_t at) { bytes_.at(at) ^= 1; }

    std::string bytes() const { return bytes_; }
    std::string with_its_checksum() const {
        const std::string summed = bytes_.substr(0, bytes_.size() - 20);
        return summed + sha1(summed);
    }

  private:
    static constexpr size_t head = 8;
    static size_t names() { return head + 256 * 4; }
    size_t offset_at(size_t i) const { return names() + count() * 24 + i * 4; }
    size_t number(size_t at) const {
        size_t value = 0;
        for (size_t i = 0; i < 4; ++i) {
            value = value << 8 | static_cast<unsigned char>(bytes_.at(at + i));
        }
        return value;
    }
    void set_number(size_t at, size_t value) {
        for (size_t i = 0; i < 4; ++i) {
            bytes_.at(at + i) = static_cast<char>(value >> (24 - 8 * i));
        }
    }
    std::string bytes_;
};

class RepositoriesProof : public PackedLane {
  protected:
    RepositoriesProof() { make_packed("r.git"); }

    void restart() {
        registry_.reset();
        registry_ = std::make_unique<Registry>(registry_file_, clock_);
        const auto unproven = registry_->unproven_items(store_);
        apply_ = std::make_unique<secondary::RepositoryApply>(
            store_, *target_, [this](const std::string& name, uint64_t) { kept_.push_back(name); },
            std::set<std::string>(unproven.begin(), unproven.end()));
    }

    static fs::path index_of(const fs::path& repository) {
        return packs_of(repository).front().replace_extension(".idx");
    }
    PackIndex right_index() { return PackIndex(read_file(index_of(on_primary("r.git")))); }
    /// As if the primary's git had this index.
    protocol::Event with_index(protocol::Event event, const std::string& bytes) {
        const Sha256 hash = sha256(bytes);
        const fs::path kept = root_ / ".antipode/packs" / (to_hex(hash) + ".pack");
        fs::remove(kept);
        write_file(kept, bytes);
        v1::Content& index = *event.payload.mutable_ref_update()->mutable_base_index();
        index.set_sha256(std::string(view(hash)));
        index.set_size(bytes.size());
        index.set_pull(index.sha256());
        return event;
    }
    std::string blob(int number) { return blob("large" + std::to_string(number)); }
    std::string blob(const std::string& file) { return on("r.git", {"rev-parse", "main:" + file}); }
    /// A fork that shares the objects of r.git.
    void make_fork(const std::string& name) {
        git({"clone", "--quiet", "--bare", "--shared", on_primary("r.git").string(),
             on_primary(name).string()});
        git({"-C", on_primary(name).string(), "remote", "remove", "origin"});
    }
    void pack_with_small_file() {
        commit("r.git", "main", "small", "small");
        push("r.git", {"main"});
        // With a bitmap git sends whole objects.
        on("r.git", {"config", "repack.writeBitmaps", "false"});
        on("r.git", {"gc", "--quiet", "--prune=now"});
    }
    /// An index which has the small file where large1 is.
    std::string small_for_large() {
        PackIndex index = right_index();
        index.exchange_offsets(index.find(blob(1)), index.find(blob("small")));
        return index.with_its_checksum();
    }
    /// What travels of it builds on large1 as it was.
    void add_to_large(const std::string& name) {
        commit(name, "main", noise(300 * limits::kib, 1) + "and more", "large1");
        push(name, {"main"});
    }
    std::vector<std::string> unproven() const { return registry_->unproven_items(store_); }

    /// Applied and recorded, as the core does.
    Result take(const protocol::Event& event) {
        const Result result = apply(event);
        Registry::Outcome outcome{
            *protocol::item_of(event.payload), event.position, event.position, {}, {}};
        if (result.kind == Result::Kind::Applied) {
            outcome.applied = result.digest;
            outcome.looked = result.proven && event.payload.ref_update().full();
            outcome.unproven = !result.proven;
        }
        registry_->record(store_, std::span(&outcome, 1), event.position);
        return result;
    }
    void expect_unproven(const protocol::Event& event) {
        const Result result = take(event);
        EXPECT_EQ(result.kind, Result::Kind::Applied) << result.reason;
        EXPECT_FALSE(result.proven);
        EXPECT_EQ(result.digest.value, event.payload.ref_update().digest_after());
        EXPECT_EQ(registry_->unproven(store_), 1U);
    }
    void expect_proven_at_once(const protocol::Event& event) {
        const Result result = take(event);
        EXPECT_EQ(result.kind, Result::Kind::Applied) << result.reason;
        EXPECT_TRUE(result.proven);
        EXPECT_EQ(registry_->unproven(store_), 0U);
        expect_equal("r.git");
    }
    /// One look of the content check at what is due.
    void check() {
        secondary::Sweep({.store = store_}, *apply_, *registry_,
                         {.newest = [] { return Position{}; },
                          .finished =
                              [] {
                                  return Position{1, 1, 1};
                              }},
                         clock_)
            .step(stop_);
    }
    void expect_damage_is_found() {
        check();
        const auto exceptions = registry_->exceptions(10);
        ASSERT_THAT(exceptions, SizeIs(1));
        EXPECT_EQ(exceptions[0].item, "r.git");
        EXPECT_EQ(exceptions[0].failure, FailureClass::LocalDefect);
        EXPECT_THAT(exceptions[0].reason, HasSubstr("found by a check of its content: git fsck"));
        EXPECT_EQ(registry_->unproven(store_), 1U);
        EXPECT_THAT(kept_, IsEmpty());
    }
    /// The primary is asked for the whole, as Repair does.
    void expect_mended(bool by_a_base = false) {
        const auto whole = capture("r.git", true);
        EXPECT_EQ(whole->payload.ref_update().has_base(), by_a_base);
        expect_proven_at_once(*whole);
    }

    const StoreId store_{StoreKind::Repositories, "code"};
    const fs::path registry_file_ = directory_ / "registry.db";
    std::unique_ptr<Registry> registry_;
    std::vector<std::string> kept_;  ///< of which house may be kept

    void SetUp() override { restart(); }
};

TEST_F(RepositoriesProof, WhatCameWithItsIndexIsThereAtOnceAndProvenLater) {
    const auto event = capture("r.git");
    expect_unproven(*event);
    expect_equal("r.git");
    const fs::path index = index_of(on_secondary("r.git"));
    EXPECT_EQ(read_file(index), read_file(index_of(on_primary("r.git"))));
    EXPECT_EQ(fs::status(index).permissions(), fs::perms(0444));
    EXPECT_THAT(kept_, IsEmpty());
    EXPECT_FALSE(registry_->list(store_, {.item = "r.git"}).at(0).looked_at.has_value());
    check();
    EXPECT_EQ(registry_->unproven(store_), 0U);
    EXPECT_TRUE(registry_->list(store_, {.item = "r.git"}).at(0).looked_at.has_value());
    EXPECT_THAT(registry_->exceptions(10), IsEmpty());
    EXPECT_THAT(kept_, ElementsAre("r.git"));
}

TEST_F(RepositoriesProof, WhatTheBaseLacksIsReadAtOnce) {
    commit("r.git", "main", noise(50'000, 9), "loose");
    push("r.git", {"main", "main:refs/heads/other"});
    const auto event = capture("r.git");
    ASSERT_TRUE(event->payload.ref_update().has_pack());
    expect_unproven(*event);
    expect_equal("r.git");
    // Once more, as after a crash between the apply and its record.
    expect_proven_at_once(*event);
}

TEST_F(RepositoriesProof, ARestartForgetsNothingAndTheProofComesFirst) {
    Registry::Outcome other{"a.git", {1, 1, 1}, {1, 1, 1}, {}, {}};
    other.applied = Digest{"refs-1", "x"};
    registry_->record(store_, std::span(&other, 1), {1, 1, 1});
    registry_->ask_for_look(store_, "a.git");
    expect_unproven(*capture("r.git"));
    restart();
    EXPECT_EQ(registry_->unproven(store_), 1U);
    EXPECT_TRUE(apply_->is_unproven("r.git"));
    EXPECT_THAT(registry_->due_for_look(store_, TimePoint{}, 10), ElementsAre("r.git", "a.git"));
    EXPECT_THAT(registry_->due_for_look(store_, TimePoint{}, 1), ElementsAre("r.git"));
    EXPECT_THAT(kept_, IsEmpty());
    check();
    EXPECT_EQ(registry_->unproven(store_), 0U);
    EXPECT_FALSE(apply_->is_unproven("r.git"));
    EXPECT_THAT(kept_, ElementsAre("r.git")) << "now its house is kept";
}

TEST_F(RepositoriesProof, WhatBorrowsIsAsGoodAsItsPool) {
    make_fork("fork.git");
    expect_unproven(*capture("r.git"));
    EXPECT_FALSE(take(*capture("fork.git")).proven);
    EXPECT_THAT(unproven(), ElementsAre("r.git", "fork.git"));
    EXPECT_THAT(kept_, IsEmpty());
    check();
    EXPECT_THAT(unproven(), IsEmpty());
    EXPECT_THAT(kept_, ElementsAre("r.git", "fork.git"));
    // What borrows from a pool that was read is proven at once.
    make_fork("second.git");
    EXPECT_TRUE(take(*capture("second.git")).proven);
    EXPECT_THAT(unproven(), IsEmpty());
}

TEST_F(RepositoriesProof, WhatBorrowsFromADamagedPoolIsMendedAfterIt) {
    make_fork("fork.git");
    PackIndex index = right_index();
    index.exchange_offsets(index.find(blob(1)), index.find(blob(2)));
    expect_unproven(with_index(*capture("r.git"), index.with_its_checksum()));
    EXPECT_FALSE(take(*capture("fork.git")).proven);
    check();
    EXPECT_THAT(registry_->exceptions(10), SizeIs(2));
    EXPECT_THAT(unproven(), ElementsAre("r.git", "fork.git"));
    EXPECT_TRUE(take(*capture("r.git", true)).proven);
    EXPECT_TRUE(take(*capture("fork.git", true)).proven);
    EXPECT_THAT(unproven(), IsEmpty());
    expect_equal("r.git");
    expect_equal("fork.git");
}

TEST_F(RepositoriesProof, WhatStumblesOverItsPoolIsNotThePrimarysFault) {
    pack_with_small_file();
    make_fork("fork.git");
    expect_unproven(with_index(*capture("r.git"), small_for_large()));
    add_to_large("fork.git");
    const Result result = take(*capture("fork.git"));
    EXPECT_EQ(result.kind, Result::Kind::NeedsWhole) << result.reason;
    check();
    EXPECT_TRUE(take(*capture("r.git", true)).proven);
    EXPECT_TRUE(take(*capture("fork.git", true)).proven);
    expect_equal("fork.git");
}

TEST_F(RepositoriesProof, WhatIsPushedMeanwhileProvesNothing) {
    expect_unproven(*capture("r.git"));
    commit("r.git", "main", "later");
    push("r.git", {"main"});
    EXPECT_EQ(take(*capture("r.git")).kind, Result::Kind::Applied);
    EXPECT_EQ(registry_->unproven(store_), 1U);
    EXPECT_THAT(kept_, IsEmpty());
    check();
    EXPECT_EQ(registry_->unproven(store_), 0U);
    EXPECT_THAT(kept_, ElementsAre("r.git"));
}

TEST_F(RepositoriesProof, ALookAtWhatWasThereBeforeProvesNothing) {
    const auto event = *capture("r.git");
    expect_unproven(event);
    const Registry::Looked before{"r.git", registry_->find(store_, "r.git")->unproven_since};
    target_->remove("r.git");
    expect_unproven(event);
    registry_->looked_at(store_, std::span(&before, 1));
    EXPECT_EQ(registry_->unproven(store_), 1U);
    check();
    EXPECT_EQ(registry_->unproven(store_), 0U);
}

TEST_F(RepositoriesProof, WhatIsGoneIsNotToBeProven) {
    const auto event = *capture("r.git");
    expect_unproven(event);
    Registry::Outcome removed{"r.git", {1, 1, 9}, {1, 1, 9}, {}, {}};
    removed.applied = Digest{};
    registry_->record(store_, std::span(&removed, 1), {1, 1, 9});
    EXPECT_EQ(registry_->unproven(store_), 0U);
    EXPECT_THAT(registry_->due_for_look(store_, TimePoint{}, 10), IsEmpty());
}

TEST_F(RepositoriesProof, AnOlderPrimarySendsNoIndex) {
    auto event = *capture("r.git");
    event.payload.mutable_ref_update()->clear_base_index();
    expect_proven_at_once(event);
}

TEST_F(RepositoriesProof, AnIndexThatIsWrongAtAGlanceIsNotUsed) {
    const auto event = *capture("r.git");
    const PackIndex right = right_index();
    const auto is_not_used = [&](const std::string& index) {
        expect_proven_at_once(with_index(event, index));
        target_->remove("r.git");
    };
    for (const size_t at : {0, 9, 1030}) {
        SCOPED_TRACE("a byte flipped at " + std::to_string(at));
        PackIndex index = right;
        index.flip(at);
        is_not_used(index.bytes());
        is_not_used(index.with_its_checksum());
    }
    for (const size_t at : {right.bytes().size() / 2, right.bytes().size() - 1}) {
        SCOPED_TRACE("a byte flipped at " + std::to_string(at));
        PackIndex index = right;
        index.flip(at);
        is_not_used(index.bytes());
    }
    const auto changed = [&](auto&& change) {
        PackIndex index = right;
        change(index);
        return index.with_its_checksum();
    };
    is_not_used("");
    is_not_used(right.bytes().substr(0, right.bytes().size() - 4));
    is_not_used(changed([](PackIndex& index) { index.leave_out(3); }));
    is_not_used(changed([](PackIndex& index) { index.point_behind_the_pack(3); }));
    is_not_used(changed([](PackIndex& index) { index.of_another_pack(); }));
    // What a ref names is not in it.
    const size_t tip = right.find(on("r.git", {"rev-parse", "main"}));
    is_not_used(changed([&](PackIndex& index) { index.rename(tip); }));
    // The right one is.
    expect_unproven(with_index(event, right.with_its_checksum()));
}

TEST_F(RepositoriesProof, AnIndexThatLiesOfOffsetsIsFoundAndMended) {
    PackIndex index = right_index();
    index.exchange_offsets(index.find(blob(1)), index.find(blob(2)));
    expect_unproven(with_index(*capture("r.git"), index.with_its_checksum()));
    expect_damage_is_found();
    restart();
    expect_mended();
}

TEST_F(RepositoriesProof, AnIndexThatLiesIsNotThePrimarysFaultWhenAPushStumblesOverIt) {
    pack_with_small_file();
    expect_unproven(with_index(*capture("r.git"), small_for_large()));
    add_to_large("r.git");
    const auto thin = *capture("r.git");
    ASSERT_LT(thin.payload.ref_update().pack().size(), 10 * limits::kib);
    for (int i = 0; i < 2; ++i) {
        const Result result = take(thin);
        EXPECT_EQ(result.kind, Result::Kind::NeedsWhole) << result.reason;
        restart();
    }
    EXPECT_EQ(take(thin).failure, FailureClass::LocalDefect);
    // As soon as it comes whole, without a look at what is here.
    expect_mended();
    // What is proven here is no excuse.
    commit("r.git", "main", "later");
    push("r.git", {"main"});
    auto bad = *capture("r.git");
    v1::Content& pack = *bad.payload.mutable_ref_update()->mutable_pack();
    pack.mutable_inline_()->resize(pack.size() / 2);
    pack.set_size(pack.inline_().size());
    pack.set_sha256(std::string(view(sha256(pack.inline_()))));
    EXPECT_EQ(apply(bad).failure, FailureClass::PrimaryDefect);
}

TEST_F(RepositoriesProof, AnIndexThatLacksAnObjectIsFoundAndMended) {
    PackIndex index = right_index();
    index.rename(index.find(blob(1)));
    expect_unproven(with_index(*capture("r.git"), index.with_its_checksum()));
    // What is pushed before the proof changes nothing.
    commit("r.git", "main", "later");
    push("r.git", {"main"});
    EXPECT_EQ(take(*capture("r.git")).kind, Result::Kind::Applied);
    expect_damage_is_found();
    expect_mended();
    EXPECT_THAT(kept_, ElementsAre("r.git"));
}

TEST_F(RepositoriesProof, APackThatRottedOnThePrimaryIsFoundAndNamed) {
    const fs::path pack = packs_of(on_primary("r.git")).front();
    const std::string sound = read_file(pack);
    break_object("r.git", blob(1));
    expect_unproven(*capture("r.git"));
    expect_damage_is_found();
    const Result again = apply(*capture("r.git", true));
    EXPECT_EQ(again.kind, Result::Kind::Failed);
    EXPECT_EQ(again.failure, FailureClass::PrimaryDefect) << again.reason;
    fs::remove(pack);
    write_file(pack, sound);
    expect_mended(true);  // as whoever asks next is sent one
}

TEST_F(RepositoriesProof, StrictnessBelievesNothing) {
    git::GitRepositories strict({mirror_, {}, true}, clock_);
    apply_ = std::make_unique<secondary::RepositoryApply>(store_, strict);
    expect_proven_at_once(*capture("r.git"));
}

}  // namespace
}  // namespace antipode::test
