// Mass deletions: what is held, and what becomes of it.
#include "primary/sequencer_fixture.hpp"

namespace antipode::primary {
namespace {

using testing::Contains;

class DeletionsTest : public SequencerTest {
  protected:
    void SetUp() override {
        limits_ = {true, 5, 100};
        begin();
    }

    static std::string name_of(int number) {
        const std::string digits = std::to_string(number);
        return "f" + std::string(6 - digits.size(), '0') + digits;
    }
    static std::vector<std::string> names(int from, int count) {
        std::vector<std::string> names;
        for (int i = from; i < from + count; ++i) {
            names.push_back(name_of(i));
        }
        return names;
    }
    /// So many files were published before.
    void publish(int count) {
        std::vector<Inventory::Record> records;
        for (const std::string& name : names(0, count)) {
            records.push_back({blobs_id, name, {"state", {"blob-1", "digest"}}, {1, 1, 1}});
        }
        inventory_.record(records);
        settle();
    }
    /// They are gone, the database has passed, capture has read whatever was announced.
    void remove(const std::vector<std::string>& removed) {
        notice({}, removed);
        read_all();
    }
    void read_all() {
        decode(database_.wal.value);
        while (const auto task = sequencer_->next_read(blobs_id)) {
            gone(*task);
            sequencer_->stored();
        }
        sequencer_->take_outgoing();
    }
    /// The first reconcile of a session finds this.
    void settle_with(Noticed noticed) {
        ASSERT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
        reconciled(std::move(noticed));
        read_all();
    }
    uint64_t there() const { return inventory_.count(blobs_id); }
    Inventory::WithheldCount withheld() const { return inventory_.withheld(blobs_id); }
    void release() {
        inventory_.decide(blobs_id, Inventory::Decision::Released);
        inventory_.release_discarded(blobs_id);
        sequencer_->release_deletions(blobs_id);
        read_all();
    }
};

TEST_F(DeletionsTest, FewAreDeleted) {
    publish(1000);
    remove(names(0, 50));
    EXPECT_EQ(there(), 950u);
    EXPECT_TRUE(withheld().none());
}

TEST_F(DeletionsTest, ManyOfVeryManyAreDeleted) {
    publish(4000);
    remove(names(0, 190));
    EXPECT_EQ(there(), 3810u);
    EXPECT_TRUE(withheld().none());
}

TEST_F(DeletionsTest, TooManyAtOnceAreHeldUntilTheyAreReleased) {
    publish(1000);
    remove(names(0, 200));
    EXPECT_EQ(there(), 1000u);
    EXPECT_EQ(withheld().held, 200u);
    EXPECT_EQ(inventory_.decide(blobs_id, Inventory::Decision::Released), 200u);
    sequencer_->release_deletions(blobs_id);
    read_all();
    EXPECT_EQ(there(), 800u);
    EXPECT_TRUE(withheld().none());
}

TEST_F(DeletionsTest, OneByOneTheyAreCountedOverAMinute) {
    publish(1000);
    for (int i = 0; i < 150; ++i) {
        clock_.advance(std::chrono::milliseconds(100));
        remove(names(i, 1));
    }
    EXPECT_EQ(there(), 901u) << "the hundredth, and what comes behind it";
    EXPECT_EQ(withheld().held, 51u);
}

/// A primary that lost its inventory, and an empty root: everything is asked for, and is not there.
TEST_F(DeletionsTest, WhatSecondariesAskForAndNobodyKnowsIsCounted) {
    settle();
    v1::Want want;
    want.set_store(blobs_id.to_string());
    for (const std::string& name : names(0, 300)) {
        want.add_items(name);
    }
    sequencer_->add(want);
    read_all();
    EXPECT_EQ(withheld().held, 291u) << "the tenth of a store of none, and what comes behind it";
    clock_.advance(std::chrono::hours(1));
    settle_with({});
    EXPECT_EQ(withheld().held, 291u) << "it did not come back";
}

TEST_F(DeletionsTest, WhatOnlyASecondaryHasReleasesNothingElse) {
    publish(1000);
    notice({}, names(0, 300));
    read_all();
    const auto held = withheld().held;
    ASSERT_GT(held, 0u);
    v1::Want want;
    want.set_store(blobs_id.to_string());
    want.add_items("only there");
    sequencer_->add(want);
    read_all();
    EXPECT_EQ(withheld().held, held + 1);
    clock_.advance(std::chrono::hours(1));
    settle_with({{}, names(0, 300)});
    EXPECT_EQ(withheld().held, held + 1);
}

/// Secondaries that ask again for what the primary never had: no mass deletion, however small the
/// store.
TEST_F(DeletionsTest, WhatIsAskedForAgainAndAgainIsCountedOnce) {
    publish(1);
    v1::Want want;
    want.set_store(blobs_id.to_string());
    for (const std::string& name : names(500, 3)) {
        want.add_items(name);
    }
    for (int i = 0; i < 20; ++i) {
        clock_.advance(std::chrono::seconds(1));
        sequencer_->add(want);
        read_all();
    }
    EXPECT_TRUE(withheld().none());
    remove(names(0, 1));
    EXPECT_EQ(there(), 0u);
    // Other ones count, on top of these.
    want.clear_items();
    for (const std::string& name : names(600, 10)) {
        want.add_items(name);
    }
    sequencer_->add(want);
    read_all();
    EXPECT_EQ(withheld().held, 5u) << "the tenth, and what comes behind it";
}

TEST_F(DeletionsTest, SlowlyTheyAreNoStorm) {
    publish(1000);
    for (int i = 0; i < 150; ++i) {
        clock_.advance(std::chrono::seconds(1));
        remove(names(i, 1));
    }
    EXPECT_EQ(there(), 850u);
}

TEST_F(DeletionsTest, WhatWaitsForTheDatabaseIsHeldWithThem) {
    publish(1000);
    database_.wal = Lsn{200};  // decoding stands before it
    notice({}, names(0, 60));
    notice({}, names(60, 60));
    EXPECT_EQ(withheld().held, 120u);
    read_all();
    EXPECT_EQ(there(), 1000u);
}

TEST_F(DeletionsTest, ASmallStoreThatIsEmptiedIsHeld) {
    publish(12);
    remove(names(0, 12));
    EXPECT_EQ(withheld().held, 12u);
    EXPECT_EQ(there(), 12u);
}

TEST_F(DeletionsTest, TheLastFewFilesAreDeleted) {
    publish(3);
    remove(names(0, 3));
    EXPECT_EQ(there(), 0u);
}

TEST_F(DeletionsTest, AnEmptiedRootIsHeldHoweverFewAndWhateverTheLimits) {
    limits_ = {};
    begin();
    publish(2);
    EXPECT_THAT(sequencer_->begin_reconciles(), IsEmpty());
    sequencer_->reconcile_now();
    ASSERT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({{}, names(0, 2), true, true});
    read_all();
    EXPECT_EQ(withheld().held, 2u);
    EXPECT_EQ(there(), 2u);
    // It is mounted again.
    reconciled({});
    EXPECT_TRUE(withheld().none());
    EXPECT_EQ(there(), 2u);
}

TEST_F(DeletionsTest, WhileSomeAreHeldEveryOtherIs) {
    publish(1000);
    remove(names(0, 100));
    clock_.advance(std::chrono::hours(1));
    remove(names(500, 1));
    EXPECT_EQ(withheld().held, 101u);
    release();
    EXPECT_EQ(there(), 899u);
    remove(names(501, 1));
    EXPECT_EQ(there(), 898u);
}

TEST_F(DeletionsTest, WhatIsHeldHoldsBackWhatIsProven) {
    publish(1000);
    const auto before = lane_of(next_marker().value(), blobs_id).captured_through_us();
    remove(names(0, 100));
    next_marker();
    const auto held = lane_of(next_marker().value(), blobs_id).captured_through_us();
    EXPECT_LE(held, before + 1'000'000);
    release();
    next_marker();
    EXPECT_GT(lane_of(next_marker().value(), blobs_id).captured_through_us(), held + 1'000'000);
}

TEST_F(DeletionsTest, WhatIsDiscardedStaysOnSecondariesAndHoldsNothingBack) {
    publish(1000);
    remove(names(0, 100));
    EXPECT_EQ(inventory_.decide(blobs_id, Inventory::Decision::Discarded), 100u);
    const auto before = lane_of(next_marker().value(), blobs_id).captured_through_us();
    next_marker();
    EXPECT_GT(lane_of(next_marker().value(), blobs_id).captured_through_us(), before);
    reconciled({{}, names(0, 100), true, false});
    read_all();
    EXPECT_EQ(there(), 1000u);
    EXPECT_EQ(withheld().discarded, 100u);
    // Another one is no part of it.
    remove(names(200, 1));
    EXPECT_EQ(there(), 999u);
    release();
    EXPECT_EQ(there(), 899u);
}

TEST_F(DeletionsTest, WhatComesBackIsNoMoreHeld) {
    publish(1000);
    remove(names(0, 100));
    notice(names(0, 2));
    unchanged(task());
    put(task());
    sequencer_->stored();
    EXPECT_EQ(withheld().held, 98u);
    release();
    EXPECT_EQ(there(), 902u);
}

TEST_F(DeletionsTest, WhatWasMovedIsNoDeletion) {
    publish(1000);
    items_.noticed.moved = names(0, 500);
    sequencer_->look_around();
    read_all();
    EXPECT_TRUE(withheld().none());
    EXPECT_EQ(there(), 500u);
}

TEST_F(DeletionsTest, WhatIsDeletedWhileTheStoreIsComparedIsNotBack) {
    publish(1000);
    sequencer_->reconcile_now();
    ASSERT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    clock_.advance(std::chrono::seconds(1));
    remove(names(0, 300));
    EXPECT_EQ(withheld().held, 300u);
    reconciled({{}, names(290, 40), true, false});  // it had passed the others before
    read_all();
    EXPECT_EQ(withheld().held, 330u);
    EXPECT_EQ(there(), 1000u);
}

TEST_F(DeletionsTest, WhatWaitsForTheDatabaseIsCountedOnce) {
    publish(1000);
    database_.wal = Lsn{200};
    for (int i = 0; i < 50; ++i) {
        clock_.advance(std::chrono::seconds(1));
        notice({}, names(0, 4));
    }
    EXPECT_TRUE(withheld().none());
    decode(200);
    read_all();
    EXPECT_EQ(there(), 996u);
}

TEST_F(DeletionsTest, WhatIsLeftWhenMostCameBackIsDeleted) {
    publish(1000);
    remove(names(0, 300));
    reconciled({{}, names(0, 5), true, false});
    read_all();
    EXPECT_TRUE(withheld().none());
    EXPECT_EQ(there(), 995u);
}

TEST_F(DeletionsTest, TheyStayHeldInTheNextSession) {
    publish(1000);
    remove(names(0, 200));
    begin();
    settle_with({{}, names(0, 199), true, false});
    EXPECT_EQ(withheld().held, 199u) << "the last one is back";
    EXPECT_EQ(there(), 1000u);
}

TEST_F(DeletionsTest, AReleaseThatWasInterruptedGoesOnInTheNextSession) {
    publish(1000);
    remove(names(0, 100));
    inventory_.decide(blobs_id, Inventory::Decision::Released);
    begin();
    settle_with({{}, names(0, 100), true, false});
    EXPECT_EQ(there(), 900u);
    EXPECT_TRUE(withheld().none());
}

TEST_F(DeletionsTest, ASecondaryThatAsksForOneIsTold) {
    publish(1000);
    remove(names(0, 100));
    v1::Want want;
    want.set_store(blobs_id.to_string());
    want.add_items(name_of(7));
    sequencer_->add(want);
    gone(task());
    const auto words = out();
    EXPECT_THAT(words, Contains(testing::StartsWith("unreadable " + name_of(7))));
    EXPECT_EQ(there(), 1000u);
    EXPECT_EQ(withheld().held, 100u);
}

TEST_F(DeletionsTest, TheStoreIsReconciledAllTheSame) {
    publish(1000);
    begin();
    ASSERT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({{}, names(0, 300), true, false});
    EXPECT_THAT(out(), Contains("reconciled"));
    EXPECT_EQ(withheld().held, 300u);
}

}  // namespace
}  // namespace antipode::primary
