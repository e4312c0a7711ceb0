#include "primary/sequencer_fixture.hpp"

namespace antipode::primary {
namespace {

TEST_F(SequencerTest, BeginsWithTheSessionThatJoinsOn) {
    protocol::ChainPoint joins{{1, 6, 42}, sha256("the last message")};
    begin(joins);
    const auto out = events();
    ASSERT_FALSE(out.empty());
    EXPECT_EQ(out[0].position, (Position{1, 7, 1}));
    EXPECT_EQ(out[0].payload.session_start().joins_session(), 6U);
    EXPECT_EQ(out[0].payload.session_start().joins_number(), 42U);
}

TEST_F(SequencerTest, AnnouncesWhatIsNoticedBeforeTheRowsThatWereDecodedBefore) {
    settle();
    items_.noticed.changed = {"a", "b"};
    sequencer_->add(database_id, {row(110), row(120)});
    EXPECT_THAT(out(), ElementsAre("announce a b", "row 110", "row 120"));
}

TEST_F(SequencerTest, AnItemThatCannotBeReadIsSaidToBeUnreadableAndReadWhenItCanBe) {
    settle();
    notice({"a"});
    const uint64_t announced = sequencer_->head().number;
    out();
    for (int i = 0; i < 2; ++i) {
        failed(task());
        clock_.advance(std::chrono::seconds(1));
    }
    EXPECT_THAT(out(), IsEmpty()) << "it may be written right now";
    failed(task());
    const std::string number = std::to_string(announced);
    EXPECT_THAT(out(),
                ElementsAre("unreadable a [" + number + "," + number + "]: permission denied"));
    clock_.advance(std::chrono::seconds(60));
    failed(task());
    EXPECT_THAT(out(), IsEmpty()) << "said once";
    notice({"a"});
    const std::string again =
        std::to_string(sequencer_->items().at(blobs_id).oldest_open().value());
    EXPECT_THAT(out(), ElementsAre("announce a"));
    put(task());
    EXPECT_THAT(out(), ElementsAre("put a [" + again + "," + again + "]"))
        << "read at once when it is announced again";
}

TEST_F(SequencerTest, ARemovalThatIsNoticedAgainNeedsAnotherRelease) {
    settle();
    notice({}, {"a"});
    EXPECT_THAT(out(), ElementsAre("announce gone a"));
    const ReadTask read = task();
    // It came back, a row named it, and it went away again before this reading.
    database_.wal = {150};
    items_.noticed.removed = {"a"};
    gone(read);
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("gone later a [")));
    add_row(150);
    EXPECT_THAT(out(), ElementsAre("row 150", "announce gone a"));
    gone(task());
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("remove a [")));
}

TEST_F(SequencerTest, WhatIsRemovedOnceMoreWhileItsRemovalIsHeldWaitsForWhatCameBetween) {
    settle();
    database_.wal = {150};
    notice({}, {"a"});
    // It came back, a row named it, the row was deleted, and it went away again.
    database_.wal = {170};
    notice({}, {"a"});
    add_row(150);
    add_row(160);
    add_row(170);
    EXPECT_THAT(out(), ElementsAre("row 150", "row 160", "row 170", "announce gone a"));
}

TEST_F(SequencerTest, WhatIsRemovedOnceMoreBehindItsReleaseWaitsForWhatCameBetween) {
    settle();
    database_.wal = {150};
    notice({}, {"a"});
    decode(150);
    // It came back, a row named it, the row was deleted, and it went away again.
    database_.wal = {170};
    notice({}, {"a"});
    decode(170);
    EXPECT_THAT(out(), ElementsAre("announce gone a", "announce gone a"));
    const std::string newest = std::to_string(sequencer_->head().number);
    gone(task());
    EXPECT_THAT(out(), ElementsAre("remove a [" + newest + "," + newest + "]"));
}

TEST_F(SequencerTest, OutcomesOfAnEarlierSessionAreIgnored) {
    out();
    sequencer_->add(ReconcileOutcome{blobs_id, 6, {{"a"}, {}, true}, {}, {}});
    EXPECT_THAT(out(), IsEmpty());
    settle();
    notice({"a"});
    ReadTask old = task();
    old.session = 6;
    put(old);
    EXPECT_THAT(out(), ElementsAre("announce a"));
}

TEST_F(SequencerTest, AReadingFulfilsEveryAnnouncementBeforeItBegan) {
    settle();
    const uint64_t number = sequencer_->head().number;
    notice({"a"});
    notice({"a"});
    const ReadTask read = task();
    notice({"a"});
    put(read);
    const std::string first = std::to_string(number + 1);
    EXPECT_THAT(out(), ElementsAre("announce a", "announce a", "announce a",
                                   "put a [" + first + "," + std::to_string(number + 2) + "]"));
    EXPECT_TRUE(inventory_.find(blobs_id, "a")) << "recorded once it is stored";
    unchanged(task());
    const std::string third = std::to_string(number + 3);
    EXPECT_THAT(out(), ElementsAre("unchanged a [" + third + "," + third + "]"));
    EXPECT_FALSE(sequencer_->next_read(blobs_id));
}

TEST_F(SequencerTest, AnItemIsNotReadAgainBeforeItsEventIsRecorded) {
    settle();
    notice({"a"});
    put(task());
    notice({"a"});
    EXPECT_FALSE(sequencer_->next_read(blobs_id));
    out();
    EXPECT_TRUE(sequencer_->next_read(blobs_id));
}

TEST_F(SequencerTest, AFailedReadingIsTriedAgainLater) {
    settle();
    notice({"a"});
    failed(task());
    EXPECT_FALSE(sequencer_->next_read(blobs_id));
    EXPECT_EQ(sequencer_->items().at(blobs_id).problems(9).at(0).text, "permission denied");
    clock_.advance(std::chrono::seconds(1));
    put(task());
    const uint64_t number = sequencer_->head().number;
    EXPECT_THAT(out(), ElementsAre("announce a", "put a [" + std::to_string(number - 1) + "," +
                                                     std::to_string(number - 1) + "]"));
}

TEST_F(SequencerTest, ARemovalIsAnnouncedOnceDecodingHasPassed) {
    settle();
    database_.wal = {150};
    notice({}, {"a"});
    database_.wal = {170};
    notice({}, {"b"});
    add_row(149);
    EXPECT_THAT(out(), ElementsAre("row 149"));
    add_row(155);
    EXPECT_THAT(out(), ElementsAre("row 155", "announce gone a"));
    gone(task());
    const std::string number = std::to_string(sequencer_->head().number - 1);
    EXPECT_THAT(out(), ElementsAre("remove a [" + number + "," + number + "]"));
    decode(170);
    EXPECT_THAT(out(), ElementsAre("announce gone b"));
}

TEST_F(SequencerTest, WhereDecodingBeginsIsSaidBeforeARemovalThatItLetsGo) {
    settle();
    database_.wal = {150};
    notice({}, {"a"});
    EXPECT_THAT(out(), IsEmpty());
    // The slot was lost: decoding goes on behind what the removal waits for.
    sequencer_->add(database_id, {DecodingBegins{Lsn{300}}, DecodedThrough{Lsn{300}}});
    const auto said = events();
    const auto is_marker = [](const auto& event) { return event.payload.has_marker(); };
    const auto is_removal = [](const auto& event) {
        return event.payload.has_announcement() && event.payload.announcement().removals();
    };
    const auto first = std::find_if(said.begin(), said.end(), is_marker);
    ASSERT_NE(first, said.end());
    EXPECT_EQ(lane_of(first->payload.marker(), database_id).last_commit_lsn(), 300U);
    EXPECT_EQ(std::find_if(said.begin(), first, is_removal), first);
    EXPECT_NE(std::find_if(first, said.end(), is_removal), said.end());
}

TEST_F(SequencerTest, ARemovalWaitsWhileTheDatabaseCannotBeAsked) {
    settle();
    database_.away = true;
    notice({}, {"a"});
    decode(500);
    EXPECT_THAT(out(), IsEmpty());
    database_.away = false;
    database_.wal = {400};
    sequencer_->look_around();
    EXPECT_THAT(out(), ElementsAre("announce gone a"));
}

TEST_F(SequencerTest, NoRemovalIsAnnouncedBeforeTheFirstReconcile) {
    out();
    database_.wal = {0};
    notice({}, {"a"});
    EXPECT_THAT(out(), IsEmpty());
    reconciled({});
    EXPECT_THAT(out(), ElementsAre("announce gone a", "reconciled"));
}

TEST_F(SequencerTest, WhatVanishesBeforeItIsReadIsUnchangedFirstAndRemovedLater) {
    settle();
    database_.wal = {150};
    notice({"a"});
    gone(task());
    const std::string number = std::to_string(sequencer_->head().number - 1);
    EXPECT_THAT(out(), ElementsAre("announce a", "gone later a [" + number + "," + number + "]"));
    add_row(160);
    gone(task());
    const std::string released = std::to_string(sequencer_->head().number - 1);
    EXPECT_THAT(out(), ElementsAre("row 160", "announce gone a",
                                   "remove a [" + released + "," + released + "]"));
}

TEST_F(SequencerTest, AReadingThatBeganBeforeTheRemovalWasReleasedDoesNotRemove) {
    settle();
    notice({"a"});
    const ReadTask read = task();
    notice({}, {"a"});
    EXPECT_THAT(out(), ElementsAre("announce a", "announce gone a"));
    gone(read);
    const uint64_t number = sequencer_->head().number;
    EXPECT_THAT(out(), ElementsAre("gone later a [" + std::to_string(number - 2) + "," +
                                   std::to_string(number - 2) + "]"))
        << "rows between the two announcements wait for the first";
    gone(task());
    const std::string released = std::to_string(number - 1);
    EXPECT_THAT(out(), ElementsAre("remove a [" + released + "," + released + "]"));
}

TEST_F(SequencerTest, ARemovalFulfilsNoAnnouncementThatRowsWaitFor) {
    settle();
    notice({"a"});
    failed(task());
    notice({}, {"a"});
    clock_.advance(std::chrono::seconds(1));
    gone(task());
    const uint64_t removal = sequencer_->head().number;
    const std::string changed = std::to_string(removal - 3);
    const std::string released = std::to_string(removal - 2);
    EXPECT_THAT(out(), ElementsAre("announce a", "announce gone a",
                                   "gone later a [" + changed + "," + released + "]",
                                   "remove a [" + released + "," + released + "]"));
}

TEST_F(SequencerTest, RowsWaitForWhatCameBackBeforeItsRemovalWasRead) {
    settle();
    notice({}, {"a"});
    out();
    const uint64_t removal = sequencer_->head().number;
    put(task());
    EXPECT_THAT(out(), ElementsAre("announce a", "put a [" + std::to_string(removal) + "," +
                                                     std::to_string(removal + 1) + "]"));
}

/// What was read does not have it.
TEST_F(SequencerTest, WhatCameBackDoesNotFulfilAChangeBehindItsReading) {
    settle();
    notice({}, {"a"});
    const std::string removal = std::to_string(sequencer_->head().number);
    const ReadTask read = task();
    notice({"a"});
    add_row(150);
    put(read);
    EXPECT_THAT(out(), ElementsAre("announce gone a", "announce a", "row 150",
                                   "put a [" + removal + "," + removal + "]"));
}

TEST_F(SequencerTest, AChangeAfterTheReleaseOfARemovalNeedsAnotherRelease) {
    settle();
    notice({}, {"a"});
    notice({"a"});
    database_.wal = {150};
    out();
    gone(task());
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("gone later a [")))
        << "rows behind the first removal may name what came after it";
    decode(150);
    EXPECT_THAT(out(), ElementsAre("announce gone a"));
    gone(task());
    EXPECT_THAT(out(), ElementsAre(testing::StartsWith("remove a [")));
}

TEST_F(SequencerTest, AWantedItemIsReadWhole) {
    settle();
    v1::Want want;
    want.set_store(blobs_id.to_string());
    want.add_items("a");
    sequencer_->add(want);
    EXPECT_THAT(out(), ElementsAre("announce a"));
    ReadTask read = task();
    EXPECT_TRUE(read.whole);
    failed(read);
    clock_.advance(std::chrono::seconds(1));
    read = task();
    EXPECT_TRUE(read.whole) << "also when it is tried again";
    put(read);
    out();
    notice({"a"});
    EXPECT_FALSE(task().whole);
}

TEST_F(SequencerTest, AnItemThatIsWantedWhileItIsReadIsReadWholeNext) {
    settle();
    notice({"a"});
    const ReadTask read = task();
    v1::Want want;
    want.set_store(blobs_id.to_string());
    want.add_items("a");
    sequencer_->add(want);
    put(read);
    out();
    EXPECT_TRUE(task().whole);
}

TEST_F(SequencerTest, AWantedItemThatIsGoneIsRemovedWhateverWasPublished) {
    settle();
    v1::Want want;
    want.set_store(blobs_id.to_string());
    want.add_items("a");
    sequencer_->add(want);
    gone(task());
    sequencer_->look_around();
    const ReadTask read = task();
    EXPECT_TRUE(read.whole) << "or the reading would find nothing to say";
}

TEST_F(SequencerTest, RepeatedTransactionsGetNoSecondNumber) {
    settle();
    sequencer_->add(database_id, {row(110), row(120)});
    sequencer_->add(database_id, {row(110), row(120), row(130)});
    EXPECT_THAT(out(), ElementsAre("row 110", "row 120", "row 130"));
}

TEST_F(SequencerTest, AWantedDatabaseIsSentAgainAndItsNewestCommitStays) {
    settle();
    sequencer_->add(database_id, {row(110), row(120)});
    v1::Want want;
    want.set_store(database_id.to_string());
    EXPECT_EQ(sequencer_->add(want), database_id);
    out();
    const auto said = next_marker();
    EXPECT_EQ(lane_of(said.value(), database_id).last_commit_lsn(), 120U)
        << "who has not applied it lacks something";
    sequencer_->add(database_id, {row(110), row(120), row(110)});
    EXPECT_THAT(out(), ElementsAre("row 110", "row 120"));
}

}  // namespace
}  // namespace antipode::primary
