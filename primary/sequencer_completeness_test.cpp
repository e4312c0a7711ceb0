#include "primary/sequencer_fixture.hpp"

namespace antipode::primary {
namespace {

TEST_F(SequencerTest, ASessionAnnouncesEverythingUntilItIsReconciled) {
    add_row(110);
    EXPECT_THAT(out(), ElementsAre("session", "announce everything", "row 110"));
    reconciled({{"a"}, {}, true});
    EXPECT_THAT(out(), ElementsAre("announce a", "reconciled"));
    add_row(120);
    EXPECT_THAT(out(), ElementsAre("row 120"));
}

TEST_F(SequencerTest, EverythingIsAnnouncedBeforeTheRowsWhenTheWatchLosesEvents) {
    settle();
    items_.noticed.complete = false;
    add_row(110);
    EXPECT_THAT(out(), ElementsAre("announce everything", "row 110"))
        << "its file may be among the lost events";
    items_.noticed.complete = false;
    add_row(120);
    EXPECT_THAT(out(), ElementsAre("row 120")) << "said once";
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({{"a"}, {}, true});
    EXPECT_THAT(out(), ElementsAre("announce a", "reconciled"));
}

TEST_F(SequencerTest, ALossDuringAReconcileNeedsAnotherOne) {
    settle();
    items_.noticed.complete = false;
    sequencer_->look_around();
    sequencer_->begin_reconciles();
    items_.noticed.complete = false;
    sequencer_->look_around();
    out();
    reconciled({});
    EXPECT_THAT(out(), ElementsAre("reconciled so far"));
    clock_.advance(std::chrono::seconds(3));
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({});
    EXPECT_THAT(out(), ElementsAre("reconciled"));
}

/// In what the watch has lost it may have come back, be named by rows, and be gone again.
TEST_F(SequencerTest, ARemovalBehindALossNeedsAnotherRelease) {
    settle();
    database_.wal = {150};
    notice({}, {"held"});
    database_.wal = {170};
    items_.noticed = {};
    items_.noticed.complete = false;
    sequencer_->look_around();
    decode(150);
    EXPECT_THAT(out(), ElementsAre("announce everything"));
    decode(170);
    EXPECT_THAT(out(), ElementsAre("announce gone held"));
    database_.wal = {190};
    items_.noticed = {};
    items_.noticed.complete = false;
    gone(task());
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("gone later held [")));
    decode(190);
    EXPECT_THAT(out(), ElementsAre("announce gone held"));
    gone(task());
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("remove held [")));
}

TEST_F(SequencerTest, WhatIsOnItsWayWhileAReconcileBeginsIsReadAgainBehindIt) {
    settle();
    notice({"a", "b", "c"});
    const ReadTask a = task();
    const ReadTask b = task();
    put(a);
    items_.noticed.complete = false;
    sequencer_->look_around();
    sequencer_->begin_reconciles();
    put(b);
    out();
    // The inventory did not know a and b when it was compared: that they are gone was not seen.
    reconciled({});
    EXPECT_THAT(out(), ElementsAre("announce a b", "reconciled"));
}

TEST_F(SequencerTest, AReconcileThatDidNotSeeEverythingProvesNothing) {
    sequencer_->begin_reconciles();
    out();
    reconciled({{"a"}, {}, false});
    EXPECT_THAT(out(), ElementsAre("announce a")) << "announced, but not said to be reconciled";
    sequencer_->look_around();
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).captured_through_us(), 0);
    clock_.advance(std::chrono::seconds(3));
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
}

TEST_F(SequencerTest, AStoreThatCannotBeReconciledForLongIsSaidToBeUnreadable) {
    sequencer_->begin_reconciles();
    out();
    const auto fails = [&] {
        sequencer_->add(ReconcileOutcome{blobs_id, 7, {}, "the root is missing", "mount it"});
    };
    fails();
    sequencer_->look_around();
    EXPECT_THAT(out(), IsEmpty()) << "it may come back at once";
    clock_.advance(std::chrono::seconds(6));
    sequencer_->look_around();
    EXPECT_THAT(out(), ElementsAre("unreadable  [2,2]: the root is missing"));
    fails();
    items_.noticed.complete = false;
    sequencer_->look_around();
    decode(200);
    EXPECT_THAT(out(), IsEmpty()) << "said once";
    const auto newest = next_marker();
    EXPECT_EQ(lane_of(newest.value(), blobs_id).captured_through_us(), 0) << "unknown is unknown";
    EXPECT_EQ(lane_of(newest.value(), blobs_id).open_from(), 0);
    clock_.advance(std::chrono::seconds(3));
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({{"a"}, {}, true});
    EXPECT_THAT(out(), ElementsAre("announce a", "reconciled"));
}

TEST_F(SequencerTest, AReconcileIsSaidOnceTheRemovalsItFoundAreAnnounced) {
    out();
    database_.wal = {150};
    reconciled({{"a"}, {"b"}, true});
    EXPECT_THAT(out(), ElementsAre("announce a"));
    decode(150);
    EXPECT_THAT(out(), ElementsAre("announce gone b", "reconciled"));
}

TEST_F(SequencerTest, TheClockInAMarkerIsProvenByWhatWasDecoded) {
    settle();
    database_.wal = {200};
    const TimePoint begun = clock_.now() + std::chrono::seconds(1);
    EXPECT_FALSE(next_marker()) << "not proven yet";
    decode(199);
    EXPECT_FALSE(marker());
    decode(200);
    const auto proven = marker();
    ASSERT_TRUE(proven);
    EXPECT_EQ(lane_of(*proven, database_id).captured_through_us(), to_microseconds(begun));
    EXPECT_EQ(lane_of(*proven, blobs_id).captured_through_us(), to_microseconds(begun));
}

TEST_F(SequencerTest, AMarkerThatCannotBeProvenSaysTheOlderTime) {
    settle();
    const TimePoint before = clock_.now();
    database_.away = true;
    EXPECT_FALSE(next_marker());
    const auto late = next_marker();
    ASSERT_TRUE(late) << "a marker comes every second all the same";
    EXPECT_EQ(lane_of(*late, database_id).captured_through_us(), to_microseconds(before));
}

TEST_F(SequencerTest, WhereTheClockIsSetBackNothingIsProvenUpToATimeToCome) {
    settle();
    clock_.jump(std::chrono::hours(-2));
    const TimePoint now = clock_.now() + std::chrono::seconds(1);
    const auto proven = next_marker();
    ASSERT_TRUE(proven);
    EXPECT_EQ(lane_of(*proven, database_id).captured_through_us(), to_microseconds(now));
    EXPECT_EQ(lane_of(*proven, blobs_id).captured_through_us(), to_microseconds(now));
    database_.away = true;
    clock_.jump(std::chrono::hours(-2));
    EXPECT_FALSE(next_marker());
    const auto late = next_marker();
    ASSERT_TRUE(late);
    EXPECT_EQ(lane_of(*late, database_id).captured_through_us(), 0) << "unknown is unknown";
}

TEST_F(SequencerTest, WithoutAWatchAClockThatIsSetBackNeedsAnotherReconcile) {
    items_.watched = false;
    settle();
    clock_.jump(std::chrono::hours(-2));
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).captured_through_us(), 0);
    sequencer_->reconcile_now();
    const TimePoint now = clock_.now();
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({});
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).captured_through_us(), to_microseconds(now));
}

TEST_F(SequencerTest, ARemovalThatIsHeldHoldsTheProofAtTheLookBefore) {
    settle();
    const TimePoint last_look = clock_.now();
    clock_.advance(std::chrono::milliseconds(500));
    database_.wal = {200};
    notice({}, {"a"});
    database_.wal = {100};
    const auto held = next_marker();
    ASSERT_TRUE(held);
    EXPECT_EQ(lane_of(*held, blobs_id).captured_through_us(), to_microseconds(last_look))
        << "it may have happened right after";
    decode(200);
    const TimePoint now = clock_.now() + std::chrono::seconds(1);
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).captured_through_us(), to_microseconds(now));
}

TEST_F(SequencerTest, WithoutAWatchOnlyAReconcileProves) {
    items_.watched = false;
    const TimePoint reconciled_at = clock_.now();
    settle();
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).captured_through_us(),
              to_microseconds(reconciled_at));
}

TEST_F(SequencerTest, WhereEverythingIsNoticedALongReconcileComesLessOften) {
    settle();
    const auto& items = sequencer_->items().at(blobs_id).completeness;
    const auto rest_behind_one_of = [&](std::chrono::milliseconds length) {
        sequencer_->reconcile_now();
        EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
        clock_.advance(length);
        reconciled({});
        return std::chrono::round<std::chrono::minutes>(items.due - clock_.steady_now()).count();
    };
    EXPECT_EQ(rest_behind_one_of(std::chrono::milliseconds(500)), 10);
    EXPECT_EQ(rest_behind_one_of(std::chrono::seconds(3)), 40);
    EXPECT_EQ(rest_behind_one_of(std::chrono::seconds(300)), 60);
    items_.watched = false;
    EXPECT_EQ(rest_behind_one_of(std::chrono::seconds(300)), 10);
}

TEST_F(SequencerTest, AReconcileThatIsAskedForBeginsAfterThatByAClockThatIsNeverSetBack) {
    settle();
    const auto& items = sequencer_->items().at(blobs_id).completeness;
    EXPECT_LE(items.steady_proven_at, clock_.steady_now());
    clock_.advance(std::chrono::seconds(1));
    const SteadyTime asked = clock_.steady_now();
    EXPECT_LT(items.steady_proven_at, asked);
    sequencer_->reconcile_now();
    EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
    reconciled({});
    EXPECT_GE(items.steady_proven_at, asked);
}

TEST_F(SequencerTest, ARowIsTheNewestChangeAndAStateOfSequencesIsNot) {
    settle();
    CapturedTransaction changed = row(110);
    changed.transaction.set_change_count(1);
    sequencer_->add(database_id, {changed});
    EXPECT_EQ(sequencer_->databases().at(database_id).last_change, Lsn{110});
    v1::Transaction sequences;
    sequences.set_commit_lsn(120);
    sequences.set_end_lsn(121);
    sequences.set_last(true);
    sequences.add_sequences();
    sequencer_->add(database_id, {CapturedTransaction{sequences}});
    EXPECT_EQ(sequencer_->databases().at(database_id).last_commit, Lsn{121});
    EXPECT_EQ(sequencer_->databases().at(database_id).last_change, Lsn{110});
}

TEST_F(SequencerTest, AMarkerNamesTheOldestOpenAnnouncement) {
    EXPECT_EQ(lane_of(next_marker().value_or(v1::Marker()), blobs_id).open_from(), 0U);
    settle();
    notice({"a"});
    const uint64_t announced = sequencer_->head().number;
    notice({"b"});
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).open_from(), announced);
    put(task());
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).open_from(), announced)
        << "its event is emitted, not yet stored";
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).open_from(), announced + 1);
    unchanged(task());
    const auto none = next_marker();
    EXPECT_EQ(lane_of(*none, blobs_id).open_from(), sequencer_->head().number);
}

TEST_F(SequencerTest, AMarkerNamesAnAnnouncementWhoseRemovalIsStillToCome) {
    settle();
    notice({"a"});
    const uint64_t announced = sequencer_->head().number;
    const ReadTask read = task();
    database_.wal = {200};
    gone(read);
    EXPECT_THAT(out(), ElementsAre("announce a", testing::StartsWith("gone later a")));
    notice({"b"});
    put(task());
    out();
    EXPECT_FALSE(next_marker()) << "it waits for what is to be decoded";
    EXPECT_EQ(lane_of(next_marker().value(), blobs_id).open_from(), announced)
        << "a secondary must not take the removal for lost";
    decode(200);
    gone(task());
    out();
    const auto none = next_marker();
    EXPECT_EQ(lane_of(none.value(), blobs_id).open_from(), sequencer_->head().number);
}

}  // namespace
}  // namespace antipode::primary
