#include "primary/sequencer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::primary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const StoreId database_id{StoreKind::Database, "app"};
const StoreId blobs_id{StoreKind::Blobs, "files"};

class FakeItems final : public ItemCapture {
  public:
    const StoreId& store() const override { return blobs_id; }
    Noticed drain() override { return std::exchange(noticed, {}); }
    Noticed reconcile(const std::stop_token&) override { return {}; }
    std::optional<Reading> read(const std::string&, bool, const std::stop_token&) override {
        return std::nullopt;
    }
    bool notices_everything() const override { return watched; }

    Noticed noticed;
    bool watched = true;
};

class FakeDatabase final : public DatabaseCapture {
  public:
    const StoreId& store() const override { return database_id; }
    std::vector<DatabaseEvent> poll(std::chrono::milliseconds) override { return {}; }
    void confirm(Lsn) override {}
    void keep_alive() override {}
    void restart() override {}
    Lsn wal_position() override {
        if (away) {
            throw Error(Reaction::Retry, "the server is away");
        }
        return wal;
    }

    Lsn wal{100};
    bool away = false;
};

/// What the sequencer emitted, in words: "announce a b", "put a [2,5]", "row 30", ...
std::string words_of(const protocol::Event& event) {
    const v1::Payload& payload = event.payload;
    const auto fulfilled = [&] {
        const v1::Fulfils* fulfils = protocol::fulfils(payload);
        return *protocol::item_of(payload) + " [" + std::to_string(fulfils->first()) + "," +
               std::to_string(fulfils->through()) + "]";
    };
    switch (payload.kind_case()) {
        case v1::Payload::kSessionStart:
            return "session";
        case v1::Payload::kAnnouncement: {
            std::string words = payload.announcement().removals() ? "announce gone" : "announce";
            for (const std::string& item : payload.announcement().items()) {
                words += " " + (item == protocol::whole_store ? "everything" : item);
            }
            return words;
        }
        case v1::Payload::kTransaction:
            return "row " + std::to_string(payload.transaction().end_lsn());
        case v1::Payload::kBlobPut:
            return "put " + fulfilled();
        case v1::Payload::kBlobRemoved:
            return "remove " + fulfilled();
        case v1::Payload::kUnchanged:
            return (payload.unchanged().removal_follows() ? "gone later " : "unchanged ") +
                   fulfilled();
        case v1::Payload::kReconciled:
            return payload.reconciled().has_fulfils() ? "reconciled" : "reconciled so far";
        case v1::Payload::kUnreadable:
            return "unreadable " + fulfilled() + ": " + payload.unreadable().reason();
        case v1::Payload::kMarker:
            return "marker";
        default:
            return "?";
    }
}

class SequencerTest : public testing::Test {
  protected:
    void SetUp() override { begin(); }

    void begin(std::optional<protocol::ChainPoint> joins = std::nullopt) {
        Sequencer::Options options;
        options.cluster = "test";
        options.site = "here";
        options.epoch = 1;
        options.session = 7;
        options.joins = joins;
        sequencer_ =
            std::make_unique<Sequencer>(options, std::vector<DatabaseCapture*>{&database_},
                                        std::vector<ItemCapture*>{&items_}, inventory_, clock_);
    }
    /// The session's start and the first reconcile are over, a marker has just been made.
    void settle() {
        EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
        reconciled({});
        sequencer_->look_around();
        decode(100);
        out();
    }
    void reconciled(Noticed noticed) {
        sequencer_->add(ReconcileOutcome{blobs_id, 7, std::move(noticed), {}, {}});
    }
    void decode(uint64_t lsn) { sequencer_->add(database_id, {DecodedThrough{{lsn}}}); }
    static CapturedTransaction row(uint64_t end, bool last = true) {
        CapturedTransaction captured;
        captured.transaction.set_commit_lsn(end - 5);
        captured.transaction.set_end_lsn(last ? end : 0);
        captured.transaction.set_last(last);
        return captured;
    }
    void add_row(uint64_t end) { sequencer_->add(database_id, {row(end)}); }

    std::vector<protocol::Event> events() {
        std::vector<protocol::Event> events;
        protocol::Assembler assembler;
        for (const OutgoingMessage& message : sequencer_->take_outgoing()) {
            auto opened = protocol::open(message.bytes, "test", 1);
            auto event = assembler.add(std::get<protocol::Message>(opened));
            events.push_back(std::move(*std::get<std::optional<protocol::Event>>(event)));
        }
        return events;
    }
    /// What came out since the last call, without markers.
    std::vector<std::string> out() {
        std::vector<std::string> words;
        for (const protocol::Event& event : events()) {
            if (!event.payload.has_marker()) {
                words.push_back(words_of(event));
            }
        }
        sequencer_->stored();
        return words;
    }
    std::optional<v1::Marker> marker() {
        std::optional<v1::Marker> newest;
        for (protocol::Event& event : events()) {
            if (event.payload.has_marker()) {
                newest = event.payload.marker();
            }
        }
        sequencer_->stored();
        return newest;
    }
    std::optional<v1::Marker> next_marker() {
        clock_.advance(std::chrono::seconds(1));
        sequencer_->look_around();
        return marker();
    }
    static v1::Marker::Lane lane_of(const v1::Marker& marker, const StoreId& store) {
        for (const v1::Marker::Lane& lane : marker.lanes()) {
            if (lane.store() == store.to_string()) {
                return lane;
            }
        }
        return {};
    }

    void notice(std::vector<std::string> changed, std::vector<std::string> removed = {}) {
        items_.noticed = {std::move(changed), std::move(removed), true};
        sequencer_->look_around();
    }
    ReadTask task() { return sequencer_->next_read(blobs_id).value(); }
    void put(const ReadTask& task) {
        Reading reading;
        reading.payload.mutable_blob_put()->set_path(task.item);
        reading.published = {"state", {"blob-1", "digest"}};
        sequencer_->add(ReadOutcome{task, reading, {}, {}});
    }
    void gone(const ReadTask& task) {
        Reading reading;
        reading.payload.mutable_blob_removed()->set_path(task.item);
        sequencer_->add(ReadOutcome{task, reading, {}, {}});
    }
    void unchanged(const ReadTask& task) {
        sequencer_->add(ReadOutcome{task, std::nullopt, {}, {}});
    }
    void failed(const ReadTask& task) {
        sequencer_->add(ReadOutcome{task, std::nullopt, "permission denied", {}});
    }

    ManualClock clock_;
    Inventory inventory_{""};
    FakeItems items_;
    FakeDatabase database_;
    std::unique_ptr<Sequencer> sequencer_;
};

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

}  // namespace
}  // namespace antipode::primary
