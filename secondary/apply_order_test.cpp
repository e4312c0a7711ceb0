#include "secondary/apply_order_fixture.hpp"

namespace antipode::secondary {
namespace {

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

TEST_F(ApplyOrderTest, ABlockedRemovalIsLeftOutWhenAChangeStandsBehindIt) {
    const auto update = [&](bool full, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_ref_update()->set_repository("a");
        payload.mutable_ref_update()->set_full(full);
        payload.mutable_ref_update()->mutable_fulfils()->set_through(announced);
        return accept(blobs, payload);
    };
    row();
    remove("a", announce({"a"}, true));
    const uint64_t change = update(false, announce({"a"}));
    const auto tasks = take();
    EXPECT_THAT(numbers(tasks), ElementsAre(change)) << "rows may wait for it";
    finish(tasks[0], Result::needs_whole("something between them was lost"));
    EXPECT_TRUE(registry_.is_awaited(blobs, "a"));
    const uint64_t whole = update(true, announce({"a"}));
    EXPECT_THAT(apply_items(), ElementsAre(whole));
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
    apply_rows();
    EXPECT_EQ(finished(blobs), at(whole));
}

TEST_F(ApplyOrderTest, WhatBuildsOnADamagedItemDoesNotMendIt) {
    const auto update = [&](bool full) {
        v1::Payload payload;
        payload.mutable_ref_update()->set_repository("a");
        payload.mutable_ref_update()->set_full(full);
        return accept(blobs, payload);
    };
    update(true);
    apply_items();
    Exception damage;
    damage.store = blobs;
    damage.item = "a";
    damage.failure = FailureClass::LocalDefect;
    registry_.differs(damage, Registry::FoundBy::Reading);
    update(false);
    EXPECT_EQ(apply_items().size(), 1U);
    EXPECT_TRUE(registry_.is_awaited(blobs, "a")) << "what it was damaged in may be as before";
    update(true);
    apply_items();
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
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

TEST_F(ApplyOrderTest, ARemovalWaitsForRowsThatTheStreamDoesNotBring) {
    order_->recovery().applied(rows, Lsn{100});
    marker(1, 100, 100);
    const uint64_t before = remove("a", announce({"a"}, true));
    EXPECT_THAT(numbers(take()), ElementsAre(before)) << "nothing is missing";
    marker(1, 101, 200);  // a lost slot has passed 150
    remove("b", announce({"b"}, true));
    EXPECT_THAT(take(), IsEmpty());
    row_at(250, 210);
    EXPECT_THAT(take(), IsEmpty());
    marker(1, 102, 300);
    EXPECT_THAT(take(), IsEmpty());
    order_->recovery().applied(rows, Lsn{300});  // as a comparison leaves it
    marker(1, 103, 300);
    EXPECT_EQ(take().size(), 1u);
}

TEST_F(ApplyOrderTest, ARemovalWaitsForMissingRowsHoweverManyMarkersNameThem) {
    order_->recovery().applied(rows, Lsn{100});
    row_at(150, 100);
    marker(1, 100, 300);  // a lost slot has passed what is between
    remove("a", announce({"a"}, true));
    marker(1, 101, 300);
    EXPECT_THAT(take(), IsEmpty());
    order_->recovery().applied(rows, Lsn{150});
    apply_rows();
    EXPECT_THAT(take(), IsEmpty());
    order_->recovery().applied(rows, Lsn{300});
    marker(1, 102, 300);
    EXPECT_EQ(take().size(), 1u);
}

TEST_F(ApplyOrderTest, ARemovalWaitsWhileNobodyKnowsWhereTheDatabaseStands) {
    order_->begin({});
    order_->recovery() = RecoveryPoint({rows, blobs, repositories});
    remove("a", announce({"a"}, true));
    EXPECT_THAT(take(), IsEmpty());
    order_->recovery().applied(rows, Lsn{100});
    marker(1, 100, 100);
    EXPECT_EQ(take().size(), 1u);
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
    apply_items();
    prove_rows();
    EXPECT_EQ(registry_.exceptions(9).size(), 0U);
    EXPECT_FALSE(order_->recovery().value());
    marker(1, 200);
    order_->update_recovery();
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

TEST_F(ApplyOrderTest, WhatIsGoneInANewSessionHoldsTheRecoveryPointUntilItIsGoneHere) {
    announce({"read by nobody"});
    const uint64_t waiting = row();
    marker(1, 50);
    new_session();
    const uint64_t gone = announce({"read by nobody"}, true);
    reconciled();
    EXPECT_THAT(apply_rows(), ElementsAre(waiting)) << "it will not come";
    EXPECT_FALSE(order_->recovery().value()) << "at 50 it was there";
    remove("read by nobody", gone);
    apply_items();
    EXPECT_EQ(order_->recovery().value(), from_microseconds(50'000'000));
}

}  // namespace
}  // namespace antipode::secondary
