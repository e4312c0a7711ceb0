#include "secondary/apply_order_fixture.hpp"

namespace antipode::secondary {
namespace {

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

TEST_F(ApplyOrderTest, CountsTransactionsNotTheMessagesThatTheyShare) {
    v1::Payload payload;
    payload.mutable_transaction()->set_last(true);
    for (int i = 0; i < 3; ++i) {
        payload.mutable_transaction()->add_members();
    }
    accept(rows, payload);
    row();
    apply_rows();
    EXPECT_EQ(order_->status(rows).applied, 4U);
    EXPECT_EQ(order_->status(rows).verified, 4U);
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

TEST_F(ApplyOrderTest, NothingIsRemovedWhileADatabaseIsCopied) {
    ApplyOrder::Options options;
    options.lane_events = 3;
    begin(options);
    order_->set_copying(rows, true);
    const uint64_t announced = announce({"a"});
    const uint64_t put_there = put("a", announced, announced);
    remove("a", announce({"a"}, true));
    EXPECT_THAT(apply_items(), ElementsAre(put_there)) << "a row of the copy may name it";
    EXPECT_TRUE(order_->has_room());
    remove("b", announce({"b"}, true));
    remove("c", announce({"c"}, true));
    EXPECT_FALSE(order_->has_room()) << "the copy needs nothing that comes";
    EXPECT_EQ(order_->status(blobs).held_by, "3 removals wait for the copy of a database");
    order_->set_copying(rows, false);
    order_->begin({});
    const uint64_t gone = remove("a", announce({"a"}, true));
    EXPECT_THAT(apply_items(), ElementsAre(gone));
}

TEST_F(ApplyOrderTest, AnItemThatIsWrittenAllTheTimeHoldsNothingBackOnceRowsPassedItsMending) {
    const auto put_again = [&] {
        const uint64_t announced = announce({"a"});
        put("a", announced, announced);
        return announced;
    };
    const uint64_t failed = put_again();
    finish(take()[0], Result::failed(FailureClass::Transient, "the primary does not have it"));
    row();
    put_again();
    finish(take()[0]);
    EXPECT_EQ(registry_.oldest_exception(), at(failed)) << "a row is still to come";
    marker();
    row();
    put_again();
    finish(take()[0]);
    EXPECT_THAT(order_->take_transactions(rows, 1, 1 << 20), testing::SizeIs(1));
    order_->finish_transactions(rows);
    order_->update_recovery();
    EXPECT_FALSE(registry_.oldest_exception())
        << "the row before the first mending is applied, though there is always another one";
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

TEST_F(ApplyOrderTest, RowsWaitBehindWhatWasLostBeforeAGapThatWasFoundEarlier) {
    registry_.set_gap(blobs, at(number_ + 10), clock_.now());
    registry_.set_gap(blobs, at(number_ + 1), clock_.now());  // the stream was written anew
    const uint64_t waiting = row();
    EXPECT_THAT(apply_rows(), IsEmpty());
    registry_.let_rows_pass(blobs, registry_.gap(blobs)->at);
    EXPECT_THAT(apply_rows(), ElementsAre(waiting));
}

TEST_F(ApplyOrderTest, AGapHoldsRowsNoLongerThanMaxHold) {
    registry_.set_gap(blobs, at(1), clock_.now());
    row();
    EXPECT_THAT(apply_rows(), IsEmpty());
    clock_.advance(std::chrono::minutes(10));
    EXPECT_THAT(apply_rows(), IsEmpty()) << "not before it is recorded";
    order_->look_at_time();
    EXPECT_EQ(apply_rows().size(), 1U);
    EXPECT_EQ(registry_.oldest_exception(), Position{}) << "the gap says so";
    ASSERT_TRUE(registry_.is_exception(blobs, protocol::whole_store));
    marker(number_ + 1);
    EXPECT_TRUE(registry_.is_exception(blobs, protocol::whole_store)) << "the gap is still there";
    registry_.mend_gap(blobs, registry_.gap(blobs)->at);
    prove_rows();
    prove_rows();
    EXPECT_FALSE(registry_.is_exception(blobs, protocol::whole_store));
}

TEST_F(ApplyOrderTest, RemovalsWaitWhileTransactionsMayBeMissing) {
    registry_.set_gap(rows, at(1), clock_.now());
    const uint64_t removal = remove("a", announce({"a"}, true));
    EXPECT_THAT(apply_items(), IsEmpty());
    registry_.mend_gap(rows, at(1));
    order_->look_at_time();
    EXPECT_THAT(apply_items(), ElementsAre(removal));
}

/// Where a database stands tells what it lacks only once that is applied.
TEST_F(ApplyOrderTest, RowsFromBeforeAGapAreStillToBeApplied) {
    const auto brings = [&] { return order_->brings_rows_before(rows, registry_.gap(rows)->at); };
    order_->recovery().applied(rows, Lsn{10});
    const uint64_t announced = announce({"a"});
    row();
    registry_.set_gap(rows, at(number_ + 2), clock_.now());
    EXPECT_TRUE(brings()) << "it waits for what it names";
    const uint64_t put_at = put("a", announced, announced);
    EXPECT_THAT(apply_items(), ElementsAre(put_at));
    EXPECT_EQ(apply_rows().size(), 1U);
    marker(number_ + 1);
    EXPECT_FALSE(brings());
}

TEST_F(ApplyOrderTest, RowsThatLackOthersBeforeThemWaitInVain) {
    order_->recovery().applied(rows, Lsn{10});
    v1::Payload payload;
    payload.mutable_transaction()->set_last(true);
    payload.mutable_transaction()->set_after_lsn(20);
    accept(rows, payload);
    registry_.set_gap(rows, at(number_ + 2), clock_.now());
    EXPECT_FALSE(order_->brings_rows_before(rows, registry_.gap(rows)->at));
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

TEST_F(ApplyOrderTest, RowsBeforeTheAnnouncementOfWhatWasLostWaitWhereTheWholeStoreWasAnnounced) {
    const uint64_t everything = announce({protocol::whole_store});
    const uint64_t waiting = row();
    announce({"lost"});
    reconciled(everything);
    number_ += 5;
    registry_.set_gap(blobs, at(number_ + 1), clock_.now());
    marker(number_ + 1);
    EXPECT_EQ(finished(blobs), at(number_));
    EXPECT_THAT(apply_rows(), IsEmpty()) << "the row may name what was lost";
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
    prove_rows();
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
    EXPECT_TRUE(registry_.oldest_exception()) << "a row that was committed before may still come";
    prove_rows();
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
    order_->begin(order_->finished());
    order_->update_recovery();
    EXPECT_TRUE(registry_.is_exception(blobs, "a")) << "the row before is to be read again";
    number_ = 2;
    row();
    put("a", 0, announced);
    apply_items();
    apply_rows();
    EXPECT_TRUE(registry_.is_exception(blobs, "a")) << "an older row may come through late";
    prove_rows();
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

TEST_F(ApplyOrderTest, WhatIsBehindAHoleIsTakenWithoutWhatIsPublishedAgain) {
    const uint64_t first = row_at(10, 0);
    const uint64_t behind_hole = row_at(30, 20);
    const uint64_t behind_that = row_at(40, 30);
    std::vector<uint64_t> again;
    for (const uint64_t lsn : {10, 20, 30}) {
        again.push_back(row_at(lsn, lsn - 10));
    }
    EXPECT_THAT(apply_rows(), ElementsAre(first));
    EXPECT_THAT(take_rows(), ElementsAre(behind_hole, behind_that));
    order_->drop_transactions(rows);
    EXPECT_EQ(apply_rows(), again) << "who has them in the stream gets them from nowhere else";
}

TEST_F(ApplyOrderTest, AnUnchangedItemMendsItsExceptionOnlyWhenItIsHereAsItWasPublished) {
    const uint64_t announced = announce({"a", "b"});
    put("a", announced, announced);
    apply_items();
    unreadable("a", announced);
    unreadable("b", announced);
    for (const ApplyOrder::Task& task : take()) {
        finish(task, Result::unreadable(task.event->payload.unreadable()));
    }
    unchanged("a");
    unchanged("b");
    for (const ApplyOrder::Task& task : take()) {
        finish(task, {Result::Kind::Unneeded, {}, {}, {}, {}});
    }
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
    EXPECT_TRUE(registry_.is_awaited(blobs, "b")) << "its event was lost";
}

TEST_F(ApplyOrderTest, AnUnchangedItemDoesNotMendWhatAFailedEventMayHaveLeft) {
    const uint64_t announced = announce({"a"});
    put("a", announced, announced);
    apply_items();
    put("a", 0, announced);
    finish(take().at(0), Result::applied({"test-1", "wrong"}));
    const uint64_t event = unchanged("a");
    finish(take().at(0), {Result::Kind::Unneeded, {}, {}, {}, {}});
    EXPECT_TRUE(registry_.is_awaited(blobs, "a")) << "what is known is not what is here";
    EXPECT_EQ(registry_.find(blobs, "a")->position.number, event) << "there it is as it was";
    put("a", 0, announced);
    apply_items();
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
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
