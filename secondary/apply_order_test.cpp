#include "secondary/apply_order.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const StoreId rows{StoreKind::Database, "app"};
const StoreId blobs{StoreKind::Blobs, "files"};
const StoreId repositories{StoreKind::Repositories, "git"};

Position at(uint64_t number, uint64_t session = 1) {
    return {1, session, number};
}

Digest expected_digest(const v1::Payload& payload) {
    return protocol::is_removal(payload) ? Digest{} : Digest{"test-1", "right"};
}

class ApplyOrderTest : public testing::Test {
  protected:
    void SetUp() override { begin({}); }

    void begin(ApplyOrder::Options options) {
        options.max_hold = std::chrono::minutes(10);
        order_ = std::make_unique<ApplyOrder>(options, std::vector{rows, blobs, repositories},
                                              registry_, expected_digest, clock_);
        order_->begin({});
        session_ = 1;
        number_ = 0;
    }

    /// Accepts the next event of the stream; returns its number.
    uint64_t accept(const std::optional<StoreId>& store, const v1::Payload& payload,
                    size_t bytes = 100) {
        order_->accept({at(++number_, session_), store, clock_.now(), payload}, bytes);
        return number_;
    }
    void new_session() {
        ++session_;
        number_ = 0;
    }
    uint64_t announce(const std::vector<std::string>& items, bool removals = false,
                      const StoreId& store = blobs) {
        v1::Payload payload;
        payload.mutable_announcement()->set_removals(removals);
        for (const std::string& item : items) {
            payload.mutable_announcement()->add_items(item);
        }
        return accept(store, payload);
    }
    uint64_t put(const std::string& item, uint64_t first, uint64_t through, size_t bytes = 100) {
        v1::Payload payload;
        payload.mutable_blob_put()->set_path(item);
        payload.mutable_blob_put()->mutable_fulfils()->set_first(first);
        payload.mutable_blob_put()->mutable_fulfils()->set_through(through);
        return accept(blobs, payload, bytes);
    }
    uint64_t remove(const std::string& item, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_blob_removed()->set_path(item);
        payload.mutable_blob_removed()->mutable_fulfils()->set_first(announced);
        payload.mutable_blob_removed()->mutable_fulfils()->set_through(announced);
        return accept(blobs, payload);
    }
    uint64_t row(bool last = true, size_t bytes = 100) {
        v1::Payload payload;
        payload.mutable_transaction()->set_last(last);
        return accept(rows, payload, bytes);
    }
    uint64_t marker(uint64_t open_from = 1, int64_t seconds = 100) {
        v1::Payload payload;
        for (const StoreId& store : {rows, blobs, repositories}) {
            v1::Marker::Lane& lane = *payload.mutable_marker()->add_lanes();
            lane.set_store(store.to_string());
            lane.set_captured_through_us(seconds * 1'000'000);
            lane.set_open_from(open_from);
        }
        return accept(std::nullopt, payload);
    }
    /// `everything`: the announcement of the whole store that it fulfils; 0: none.
    uint64_t reconciled(uint64_t everything = 0) {
        v1::Payload payload;
        v1::Reconciled& reconciled = *payload.mutable_reconciled();
        if (everything != 0) {
            reconciled.mutable_fulfils()->set_through(everything);
        }
        return accept(blobs, payload);
    }
    uint64_t unreadable(const std::string& item, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_unreadable()->set_item(item);
        payload.mutable_unreadable()->mutable_fulfils()->set_first(announced);
        payload.mutable_unreadable()->mutable_fulfils()->set_through(announced);
        payload.mutable_unreadable()->set_reason("it is broken");
        return accept(blobs, payload);
    }
    /// A part of one large transaction.
    uint64_t part(uint32_t number, bool last) {
        v1::Payload payload;
        payload.mutable_transaction()->set_commit_lsn(700);
        payload.mutable_transaction()->set_part(number);
        payload.mutable_transaction()->set_last(last);
        return accept(rows, payload);
    }

    std::vector<ApplyOrder::Task> take() {
        return order_->take_items(blobs, 100, [&](const protocol::Event& event) {
            return content_is_here_ || !event.payload.has_blob_put();
        });
    }
    static std::vector<uint64_t> numbers(const std::vector<ApplyOrder::Task>& tasks) {
        std::vector<uint64_t> numbers;
        for (const ApplyOrder::Task& task : tasks) {
            numbers.push_back(task.event->position.number);
        }
        return numbers;
    }
    void finish(const ApplyOrder::Task& task) {
        finish(task, Result::applied(expected_digest(task.event->payload)));
    }
    void finish(const ApplyOrder::Task& task, const Result& result) {
        order_->finish_items(blobs, {{task, result}});
    }
    /// Applies all items that may be applied; returns their events' numbers.
    std::vector<uint64_t> apply_items() {
        std::vector<uint64_t> applied;
        while (true) {
            const auto tasks = take();
            if (tasks.empty()) {
                return applied;
            }
            for (const ApplyOrder::Task& task : tasks) {
                applied.push_back(task.event->position.number);
                finish(task);
            }
        }
    }
    std::vector<uint64_t> take_rows() {
        std::vector<uint64_t> taken;
        for (const protocol::Event* event : order_->take_transactions(rows, 100, 1 << 20)) {
            taken.push_back(event->position.number);
        }
        return taken;
    }
    std::vector<uint64_t> apply_rows() {
        auto taken = take_rows();
        order_->finish_transactions(rows);
        return taken;
    }
    Position finished(const StoreId& store) { return order_->finished().at(store); }

    ManualClock clock_;
    Registry registry_{""};
    std::unique_ptr<ApplyOrder> order_;
    uint64_t session_ = 1;
    uint64_t number_ = 0;
    bool content_is_here_ = true;
};

TEST_F(ApplyOrderTest, ATransactionWaitsForTheItemsAnnouncedBeforeIt) {
    const uint64_t early = row();
    const uint64_t announced = announce({"a", "b"});
    const uint64_t late = row();
    EXPECT_THAT(apply_rows(), ElementsAre(early));
    EXPECT_THAT(apply_rows(), IsEmpty());
    put("a", announced, announced);
    apply_items();
    EXPECT_THAT(apply_rows(), IsEmpty()) << "b is not here";
    put("b", announced, announced);
    EXPECT_THAT(apply_rows(), IsEmpty()) << "it has come, but is not applied";
    apply_items();
    EXPECT_THAT(apply_rows(), ElementsAre(late));
}

TEST_F(ApplyOrderTest, EagerTransactionsWaitForNothing) {
    ApplyOrder::Options options;
    options.causal = false;
    begin(options);
    announce({"a"});
    const uint64_t number = row();
    remove("b", announce({"b"}, true));
    EXPECT_THAT(numbers(take()), ElementsAre(number_));
    EXPECT_THAT(apply_rows(), ElementsAre(number));
}

TEST_F(ApplyOrderTest, ARemovalWaitsForEarlierTransactionsOnly) {
    const uint64_t early = row();
    const uint64_t announced = announce({"a"}, true);
    const uint64_t late = row();
    const uint64_t removal = remove("a", announced);
    EXPECT_THAT(apply_items(), IsEmpty());
    EXPECT_THAT(take_rows(), ElementsAre(early, late)) << "no row waits for a removal";
    order_->finish_transactions(rows);
    EXPECT_THAT(apply_items(), ElementsAre(removal));
    EXPECT_EQ(finished(blobs), at(removal));
}

TEST_F(ApplyOrderTest, TheOrderHasNoCircle) {
    // Change, row, removal, row, change again, row: each waits for something before it.
    const uint64_t changed = announce({"a"});
    const uint64_t first = row();
    const uint64_t gone = announce({"a"}, true);
    const uint64_t second = row();
    const uint64_t again = announce({"a"});
    const uint64_t third = row();
    const uint64_t put_first = put("a", changed, changed);
    const uint64_t removal = remove("a", gone);
    EXPECT_THAT(apply_items(), ElementsAre(put_first));
    EXPECT_THAT(apply_rows(), ElementsAre(first, second));
    EXPECT_THAT(apply_items(), ElementsAre(removal));
    const uint64_t put_again = put("a", again, again);
    EXPECT_THAT(apply_items(), ElementsAre(put_again));
    EXPECT_THAT(apply_rows(), ElementsAre(third));
}

TEST_F(ApplyOrderTest, ABlockedRemovalIsLeftOutWhenTheItemComesWholeBehindIt) {
    row();
    remove("a", announce({"a"}, true));
    EXPECT_THAT(apply_items(), IsEmpty());
    const uint64_t between = put("b", 0, 0);
    const uint64_t again = announce({"a"});
    const uint64_t number = put("a", again, again);
    const auto tasks = take();
    EXPECT_THAT(numbers(tasks), ElementsAre(between, number));
    finish(tasks[0]);
    EXPECT_LT(finished(blobs), at(again - 1)) << "a is neither removed nor here again";
    finish(tasks[1]);
    apply_rows();
    EXPECT_EQ(finished(blobs), at(number));
}

TEST_F(ApplyOrderTest, RowsDoNotWaitForWhatStandsBehindABlockedRemoval) {
    registry_.set_gap(rows, at(1), clock_.now());
    remove("a", announce({"a"}, true));
    remove("a", announce({"a"}, true));
    const uint64_t again = announce({"a"});
    const uint64_t waiting = row();
    EXPECT_THAT(apply_rows(), IsEmpty());
    v1::Payload payload;
    payload.mutable_unchanged()->set_item("a");
    payload.mutable_unchanged()->mutable_fulfils()->set_first(again);
    payload.mutable_unchanged()->mutable_fulfils()->set_through(again);
    accept(blobs, payload);
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, AGapIsPassedAlthoughRemovalsWaitForRows) {
    row();
    registry_.set_gap(blobs, at(2), clock_.now());
    row();
    remove("a", announce({"a"}, true));
    const uint64_t open = announce({"b"});
    marker(open);
    EXPECT_FALSE(order_->has_passed(blobs, at(2)));
    put("b", open, open);
    apply_items();
    EXPECT_TRUE(order_->has_passed(blobs, at(2)));
    EXPECT_FALSE(order_->has_passed(blobs, at(3)));
    EXPECT_FALSE(order_->has_passed(repositories, at(2))) << "it has no gap";
}

TEST_F(ApplyOrderTest, AnOverwriteDuringTheWaitSatisfiesBothAnnouncements) {
    const uint64_t first = announce({"a"});
    const uint64_t early = row();
    const uint64_t second = announce({"a"});
    const uint64_t late = row();
    put("a", first, second);
    apply_items();
    EXPECT_THAT(apply_rows(), ElementsAre(early, late));
}

TEST_F(ApplyOrderTest, EventsOfAnItemComeOneAfterAnother) {
    const uint64_t first = put("a", 0, 0);
    const uint64_t second = put("a", 0, 0);
    const uint64_t other = put("b", 0, 0);
    const auto tasks = take();
    EXPECT_THAT(numbers(tasks), ElementsAre(first, other));
    EXPECT_THAT(take(), IsEmpty());
    finish(tasks[0]);
    EXPECT_THAT(numbers(take()), ElementsAre(second));
}

TEST_F(ApplyOrderTest, WhatIsGivenBackIsHandedOutAgain) {
    const uint64_t number = put("a", 0, 0);
    order_->give_back(blobs, take());
    EXPECT_THAT(apply_items(), ElementsAre(number));
}

TEST_F(ApplyOrderTest, FinishedIsWhatIsDoneWithoutAHole) {
    const uint64_t first = put("a", 0, 0);
    const uint64_t second = put("b", 0, 0);
    const uint64_t third = put("c", 0, 0);
    const auto tasks = take();
    finish(tasks[1]);
    EXPECT_EQ(finished(blobs), Position{});
    EXPECT_EQ(registry_.lane(blobs).finished, Position{});
    finish(tasks[0]);
    EXPECT_EQ(finished(blobs), at(second));
    EXPECT_EQ(finished(repositories), at(third)) << "no event of it is outstanding";
    finish(tasks[2]);
    EXPECT_EQ(registry_.lane(blobs).finished, at(third));
    EXPECT_EQ(registry_.find(blobs, "a")->position, at(first));
}

TEST_F(ApplyOrderTest, AnOpenAnnouncementHoldsTheLanesPosition) {
    announce({"a"});
    const uint64_t other = announce({"b"});
    put("b", other, other);
    apply_items();
    EXPECT_EQ(finished(blobs), Position{});
}

TEST_F(ApplyOrderTest, AParkedItemLetsRowsGoAndHoldsTheRecoveryPoint) {
    const uint64_t announced = announce({"a"});
    const uint64_t waiting = row();
    put("a", announced, announced);
    marker();
    finish(take().front(), Result::failed(FailureClass::Transient, "disk full", "make room"));
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
    const auto exceptions = registry_.exceptions(9);
    ASSERT_EQ(exceptions.size(), 1U);
    EXPECT_EQ(exceptions[0].position, at(announced));
    EXPECT_EQ(exceptions[0].reason, "disk full");
    EXPECT_FALSE(order_->recovery().value());
    const uint64_t again = announce({"a"});
    put("a", again, again);
    marker(1, 200);
    apply_items();
    EXPECT_EQ(registry_.exceptions(9).size(), 0U);
    EXPECT_EQ(order_->recovery().value(), from_microseconds(200'000'000));
}

TEST_F(ApplyOrderTest, AWrongDigestIsParked) {
    put("a", 0, 0);
    finish(take().front(), Result::applied({"test-1", "wrong"}));
    ASSERT_EQ(registry_.exceptions(9).size(), 1U);
    EXPECT_EQ(registry_.exceptions(9)[0].failure, FailureClass::LocalDefect);
    EXPECT_EQ(order_->status(blobs).mismatches, 1U);
    EXPECT_FALSE(registry_.find(blobs, "a")) << "it is not what it should be";
}

TEST_F(ApplyOrderTest, AnItemThatIsNeededWholeIsAskedForAtOnce) {
    put("a", 0, 0);
    finish(take().front(), Result::needs_whole("it builds on something else"));
    EXPECT_EQ(registry_.due(clock_.now(), 9).size(), 1U);
}

TEST_F(ApplyOrderTest, AnEarlierStateIsNotRecordedOverALaterOne) {
    const uint64_t later = put("a", 0, 0);
    apply_items();
    order_->begin({});
    number_ = 0;
    put("a", 0, 0);
    finish(take().front(), {Result::Kind::Superseded, {}, {}, {}, {}});
    EXPECT_EQ(registry_.find(blobs, "a")->position, at(later));
    EXPECT_EQ(registry_.find(blobs, "a")->digest, (Digest{"test-1", "right"}));
}

TEST_F(ApplyOrderTest, WaitingEndsAtMaxHoldAndIsRecorded) {
    const uint64_t announced = announce({"a", "b"});
    const uint64_t waiting = row();
    put("a", announced, announced);
    apply_items();
    clock_.advance(std::chrono::minutes(9));
    order_->look_at_time();
    EXPECT_THAT(apply_rows(), IsEmpty());
    clock_.advance(std::chrono::minutes(2));
    order_->look_at_time();
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
    ASSERT_EQ(registry_.exceptions(9).size(), 1U);
    EXPECT_EQ(registry_.exceptions(9)[0].item, "b");
    EXPECT_EQ(registry_.exceptions(9)[0].kind, ExceptionKind::Expired);
    EXPECT_EQ(registry_.exceptions(9)[0].position, at(announced));
}

TEST_F(ApplyOrderTest, WhatWaitsForContentDoesNotBlockOthers) {
    content_is_here_ = false;
    const uint64_t waiting = put("a", 0, 0);
    const uint64_t removal = remove("b", 0);
    EXPECT_THAT(numbers(take()), ElementsAre(removal));
    content_is_here_ = true;
    EXPECT_THAT(take(), IsEmpty()) << "nobody said that it arrived";
    order_->content_arrived(blobs);
    EXPECT_THAT(numbers(take()), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, ANewSessionsReconcileEndsTheWaitForWhatItDidNotAnnounce) {
    announce({"again"});
    announce({"never"});
    const uint64_t waiting = row();
    new_session();
    const uint64_t again = announce({"again"});
    reconciled();
    EXPECT_THAT(apply_rows(), IsEmpty());
    put("again", again, again);
    apply_items();
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, PartsOfALargeTransactionHoldThePosition) {
    const uint64_t before = row();
    const uint64_t first = row(false);
    EXPECT_THAT(apply_rows(), ElementsAre(before, first));
    EXPECT_EQ(finished(rows), at(before)) << "the first part would be lost with a crash";
    const uint64_t announced = announce({"a"}, true);
    const uint64_t removal = remove("a", announced);
    EXPECT_THAT(apply_items(), IsEmpty()) << "the transaction is not visible yet";
    const uint64_t last = row();
    EXPECT_THAT(apply_rows(), ElementsAre(last));
    EXPECT_EQ(finished(rows), at(last));
    EXPECT_THAT(apply_items(), ElementsAre(removal));
}

TEST_F(ApplyOrderTest, WhatFailsBehindAppliedPartsIsReadAgain) {
    row(false);
    apply_rows();
    row();
    take_rows();
    EXPECT_FALSE(order_->wants_restart());
    order_->fail_transactions(rows);
    EXPECT_TRUE(order_->wants_restart()) << "the applied part was rolled back";
}

TEST_F(ApplyOrderTest, FailedTransactionsAreTakenAgain) {
    const uint64_t number = row();
    take_rows();
    order_->fail_transactions(rows);
    EXPECT_FALSE(order_->wants_restart());
    EXPECT_THAT(apply_rows(), ElementsAre(number));
}

TEST_F(ApplyOrderTest, ALaneThatIsCopiedTakesNoRowsAndIsReadAgain) {
    order_->set_copying(rows, true);
    row();
    EXPECT_THAT(take_rows(), IsEmpty());
    EXPECT_EQ(finished(rows), Position{});
    EXPECT_FALSE(order_->wants_restart());
    order_->set_copying(rows, false);
    EXPECT_TRUE(order_->wants_restart());
    order_->begin({});
    EXPECT_FALSE(order_->wants_restart());
}

TEST_F(ApplyOrderTest, RowsThatFillTheQueueMakeRoomForWhatTheyWaitFor) {
    ApplyOrder::Options options;
    options.lane_bytes = 1000;
    begin(options);
    const uint64_t announced = announce({"a"});
    for (int i = 0; i < 20; ++i) {
        row();
        EXPECT_TRUE(order_->has_room());
    }
    put("a", announced, announced);
    EXPECT_FALSE(order_->read_skipped()) << "not before the wait is over";
    apply_items();
    const auto applied = apply_rows();
    EXPECT_LT(applied.size(), 20U);
    EXPECT_EQ(finished(rows), at(applied.back())) << "the rest is read again";
    const uint64_t removed = remove("b", announce({"b"}, true));
    EXPECT_THAT(apply_items(), IsEmpty()) << "rows before it are still to come";
    EXPECT_EQ(order_->read_skipped(), at(applied.back()));
    EXPECT_THAT(apply_items(), IsEmpty());
    const uint64_t end = number_;
    number_ = applied.back();
    while (number_ < 21) {
        row();
    }
    put("a", announced, announced);
    EXPECT_EQ(apply_rows().size(), 20U - applied.size());
    EXPECT_THAT(apply_items(), IsEmpty()) << "not all of it is read again";
    remove("b", announce({"b"}, true));
    EXPECT_EQ(number_, end);
    order_->look_at_time();
    EXPECT_THAT(apply_items(), ElementsAre(removed)) << "what was accepted is not accepted twice";
    EXPECT_FALSE(order_->read_skipped());
}

TEST_F(ApplyOrderTest, ARowThatNeedNotWaitIsNotSkippedHoweverLarge) {
    ApplyOrder::Options options;
    options.lane_bytes = 1000;
    begin(options);
    const uint64_t large = row(true, 5000);
    announce({"a"});
    EXPECT_THAT(apply_rows(), ElementsAre(large));
}

TEST_F(ApplyOrderTest, ManySmallRowsMakeRoomToo) {
    ApplyOrder::Options options;
    options.lane_events = 10;
    begin(options);
    announce({"a"});
    for (int i = 0; i < 50; ++i) {
        row();
        EXPECT_TRUE(order_->has_room());
    }
}

TEST_F(ApplyOrderTest, WhatWaitsForLaterEventsDoesNotKeepThemFromComing) {
    ApplyOrder::Options options;
    options.lane_events = 10;
    options.lane_bytes = 1000;
    begin(options);
    announce({"slow"});
    row();
    for (int i = 0; i < 50; ++i) {
        const std::string item = "a" + std::to_string(i);
        const uint64_t announced = announce({item});
        put(item, announced, announced);
        apply_items();
        remove(item, announce({item}, true));
        EXPECT_TRUE(order_->has_room()) << i;
    }
}

TEST_F(ApplyOrderTest, ItemsThatCanBeAppliedFillTheQueue) {
    ApplyOrder::Options options;
    options.lane_bytes = 1000;
    begin(options);
    put("a", 0, 0, 999);
    EXPECT_TRUE(order_->has_room());
    put("b", 0, 0, 1);
    EXPECT_FALSE(order_->has_room());
    apply_items();
    EXPECT_TRUE(order_->has_room());
}

TEST_F(ApplyOrderTest, RowsFromBehindAGapWaitUntilNothingIsMissing) {
    const uint64_t early = row();
    registry_.set_gap(blobs, at(number_ + 1), clock_.now());
    const uint64_t late = row();
    EXPECT_THAT(apply_rows(), ElementsAre(early));
    EXPECT_THAT(apply_rows(), IsEmpty());
    registry_.let_rows_pass(blobs, at(late));
    EXPECT_THAT(apply_rows(), ElementsAre(late));
}

TEST_F(ApplyOrderTest, AGapHoldsRowsNoLongerThanMaxHold) {
    registry_.set_gap(blobs, at(1), clock_.now());
    row();
    EXPECT_THAT(apply_rows(), IsEmpty());
    clock_.advance(std::chrono::minutes(10));
    EXPECT_EQ(apply_rows().size(), 1U);
    EXPECT_EQ(registry_.oldest_exception(), Position{}) << "the gap says so";
}

TEST_F(ApplyOrderTest, RemovalsWaitWhileTransactionsMayBeMissing) {
    registry_.set_gap(rows, at(1), clock_.now());
    const uint64_t removal = remove("a", announce({"a"}, true));
    EXPECT_THAT(apply_items(), IsEmpty());
    registry_.mend_gap(rows, at(1));
    order_->look_at_time();
    EXPECT_THAT(apply_items(), ElementsAre(removal));
}

TEST_F(ApplyOrderTest, AnAnnouncementWhoseEventWasLostInAGapDoesNotHoldForEver) {
    const uint64_t announced = announce({"lost"});
    const uint64_t waiting = row();
    marker(announced + 5);
    EXPECT_THAT(apply_rows(), IsEmpty()) << "without a gap its event is still to come";
    number_ += 5;
    registry_.set_gap(blobs, at(number_ + 1), clock_.now());
    marker(number_ + 1);
    EXPECT_EQ(finished(blobs), at(number_));
    EXPECT_THAT(apply_rows(), IsEmpty()) << "the inventory tells whether it is here";
    registry_.let_rows_pass(blobs, registry_.gap(blobs)->at);
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, RowsWaitForAWholeStoreUntilWhatTheReconcileFoundIsHere) {
    const uint64_t everything = announce({protocol::whole_store});
    const uint64_t waiting = row();
    EXPECT_THAT(apply_rows(), IsEmpty());
    const uint64_t found = announce({"found"});
    const uint64_t gone = announce({"gone"}, true);
    reconciled(everything);
    EXPECT_THAT(apply_rows(), IsEmpty()) << "the row may name what was found";
    put("found", found, found);
    remove("gone", gone);
    apply_items();
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, RowsPassAStoreThatIsUnreadableAndItIsAnExceptionUntilAllIsHere) {
    const uint64_t everything = announce({protocol::whole_store});
    const uint64_t waiting = row();
    unreadable(protocol::whole_store, everything);
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
    ASSERT_EQ(registry_.exceptions(9).size(), 1U);
    EXPECT_EQ(registry_.exceptions(9)[0].failure, FailureClass::PrimaryDefect);
    EXPECT_EQ(registry_.exceptions(9)[0].position, at(everything));
    const uint64_t found = announce({"found"});
    reconciled(everything);
    marker(found);
    EXPECT_EQ(registry_.exception_count(blobs), 0U);
    EXPECT_TRUE(registry_.is_exception(blobs, protocol::whole_store)) << "found is not here yet";
    put("found", found, found);
    apply_items();
    marker(number_ + 1);
    order_->update_recovery();
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(ApplyOrderTest, RowsPassAnUnreadableItemWhichIsParked) {
    const uint64_t announced = announce({"a"});
    const uint64_t waiting = row();
    unreadable("a", announced);
    EXPECT_THAT(apply_rows(), IsEmpty());
    for (const ApplyOrder::Task& task : take()) {
        finish(task, Result::unreadable(task.event->payload.unreadable()));
    }
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
    EXPECT_EQ(registry_.exception_count(blobs), 1U);
    put("a", 0, announced);
    apply_items();
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(ApplyOrderTest, ARepairedItemIsAnExceptionUntilTheRowsBeforeTheRepairAreApplied) {
    const uint64_t announced = announce({"a"});
    put("a", announced, announced);
    finish(take().at(0), Result::failed(FailureClass::Transient, "disk full"));
    row();
    put("a", 0, announced);
    apply_items();
    EXPECT_EQ(registry_.exception_count(blobs), 0U);
    EXPECT_TRUE(registry_.is_exception(blobs, "a")) << "the row before may name what it was";
    apply_rows();
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(ApplyOrderTest, ALargeTransactionWhoseRestIsMissingIsDropped) {
    part(0, false);
    EXPECT_EQ(apply_rows().size(), 1U);
    row();
    take_rows();
    order_->drop_transactions(rows);
    EXPECT_FALSE(order_->wants_restart()) << "the primary sends it again, whole";
    part(0, false);
    EXPECT_EQ(apply_rows().size(), 1U);
    part(1, true);
    row();
    take_rows();
    order_->drop_transactions(rows);
    EXPECT_TRUE(order_->wants_restart()) << "it is whole: only what is behind it does not join on";
}

TEST_F(ApplyOrderTest, DroppedTransactionsLeaveTheRestInOrder) {
    row();
    take_rows();
    const uint64_t next = row();
    order_->drop_transactions(rows);
    EXPECT_THAT(apply_rows(), ElementsAre(next));
}

TEST_F(ApplyOrderTest, AnEventOfAnUnknownKindHoldsItsLane) {
    accept(blobs, v1::Payload());
    put("a", 0, 0);
    apply_items();
    EXPECT_EQ(finished(blobs), Position{});
    EXPECT_THAT(order_->status(blobs).problem, testing::HasSubstr("upgrade"));
}

}  // namespace
}  // namespace antipode::secondary
