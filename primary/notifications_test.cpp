#include "primary/notifications.hpp"

#include "primary/sequencer_fixture.hpp"

namespace antipode::primary {
namespace {

class NotificationsTest : public SequencerTest {
  protected:
    std::shared_ptr<NotifyCall> call(std::vector<std::string> items) {
        auto caller = std::make_shared<NotifyCall>();
        notifications_.add(*sequencer_, Notification(blobs_id, std::move(items), caller));
        return caller;
    }
    /// The answer, if there is one by now.
    std::optional<NotifyCall::Answer> answer(const std::shared_ptr<NotifyCall>& caller) {
        notifications_.look(*sequencer_);
        return caller->wait(std::chrono::milliseconds(0), {});
    }
    bool is_answered(const std::shared_ptr<NotifyCall>& caller) {
        return answer(caller).has_value();
    }

    Notifications notifications_{inventory_};
};

TEST_F(NotificationsTest, AnswersWhenWhatWasWrittenIsStored) {
    settle();
    const auto caller = call({"a"});
    EXPECT_THAT(out(), ElementsAre("announce a"));
    EXPECT_FALSE(is_answered(caller));
    put(task());
    EXPECT_FALSE(is_answered(caller)) << "it is not stored yet";
    const Position published = sequencer_->head();
    out();
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->problem, "");
    EXPECT_EQ(told->position, published);
    EXPECT_THAT(told->gone, IsEmpty());
}

TEST_F(NotificationsTest, AnswersAtOnceWhenNothingChangedAlthoughTheStreamIsAway) {
    settle();
    notice({"a"});
    put(task());
    out();
    const Position published = sequencer_->stored_through();
    const auto caller = call({"a"});
    unchanged(task());
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->position, published);
}

TEST_F(NotificationsTest, WaitsForTheReadingThatBeginsBehindTheCall) {
    settle();
    notice({"a"});
    const ReadTask early = task();
    const auto caller = call({"a"});
    put(early);
    out();
    EXPECT_FALSE(is_answered(caller)) << "what was read may be older than the call";
    put(task());
    out();
    EXPECT_TRUE(is_answered(caller));
}

TEST_F(NotificationsTest, AReadingThatIsStillToBeginIsAnnouncedOnce) {
    settle();
    notice({"a"});
    out();
    const auto caller = call({"a"});
    EXPECT_THAT(out(), IsEmpty());
    put(task());
    out();
    EXPECT_TRUE(is_answered(caller));
}

TEST_F(NotificationsTest, WhatIsWrittenAllTheTimeIsAnsweredWithWhatThereWas) {
    settle();
    const auto caller = call({"a"});
    const ReadTask first = task();
    notice({"a"});
    put(first);
    out();
    EXPECT_TRUE(is_answered(caller)) << "what was noticed later is not waited for";
}

TEST_F(NotificationsTest, WaitsForEachOfTheItems) {
    settle();
    const auto caller = call({"a", "b", "c"});
    put(task());
    put(task());
    out();
    EXPECT_FALSE(is_answered(caller));
    EXPECT_EQ(caller->waits_for(), "c is being read and stored");
    put(task());
    out();
    EXPECT_TRUE(is_answered(caller));
}

TEST_F(NotificationsTest, ARemovalIsAnsweredWhenItIsStored) {
    settle();
    notice({"a"});
    put(task());
    out();
    database_.wal = Lsn{200};
    const auto caller = call({"a"});
    gone(task());
    EXPECT_THAT(out(), ElementsAre("announce a", testing::StartsWith("gone later a")));
    EXPECT_FALSE(is_answered(caller));
    EXPECT_THAT(caller->waits_for(), testing::HasSubstr("the removal of a waits"));
    decode(200);
    EXPECT_THAT(out(), ElementsAre("announce gone a"));
    EXPECT_FALSE(is_answered(caller)) << "it is announced, and not stored";
    gone(task());
    EXPECT_FALSE(is_answered(caller));
    out();
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_THAT(told->gone, ElementsAre("a"));
}

TEST_F(NotificationsTest, ADeletionThatIsHeldForAnOperatorIsSaidToBe) {
    limits_ = {true, 5, 1};
    begin();
    settle();
    notice({"a", "b"});
    put(task());
    put(task());
    out();
    items_.noticed = {{}, {"a", "b"}, true, false};
    const auto caller = call({"a"});
    EXPECT_FALSE(is_answered(caller));
    gone(task());
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_TRUE(told->operator_decides);
    EXPECT_THAT(told->problem, testing::StartsWith("the deletion of a is held"));
    inventory_.decide(blobs_id, Inventory::Decision::Discarded);
    const auto later = call({"a"});
    gone(task());
    EXPECT_THAT(answer(later).value().problem, testing::HasSubstr("had secondaries keep it"));
}

TEST_F(NotificationsTest, WhatNeverWasIsSaidToBeGone) {
    settle();
    const auto caller = call({"typo"});
    unchanged(task());
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_THAT(told->gone, ElementsAre("typo"));
}

TEST_F(NotificationsTest, WhatCannotBeReadIsAnErrorAndIsTriedAgainForTheNextCall) {
    settle();
    const auto caller = call({"a"});
    for (int tries = 0; tries < 3; ++tries) {
        EXPECT_FALSE(is_answered(caller));
        failed(task());
        clock_.advance(std::chrono::seconds(1));
    }
    const auto told = answer(caller);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->problem, "permission denied");
    const auto again = call({"a"});
    EXPECT_FALSE(is_answered(again)) << "it may be mended";
    put(task());
    out();
    EXPECT_EQ(answer(again).value().problem, "");
}

TEST_F(NotificationsTest, ANewSessionAnnouncesAgainWhatWasCalledFor) {
    settle();
    const auto caller = call({"a"});
    put(task());
    begin();
    notifications_.begin_again(*sequencer_);
    EXPECT_FALSE(is_answered(caller)) << "the event was lost with the session";
    put(task());
    out();
    EXPECT_TRUE(is_answered(caller));
}

TEST_F(NotificationsTest, ACallThatIsDroppedIsAnswered) {
    const auto caller = std::make_shared<NotifyCall>();
    { const Notification dropped(blobs_id, {"a"}, caller); }
    EXPECT_THAT(caller->wait(std::chrono::milliseconds(0), {}).value().next_step, "call again");
}

TEST_F(NotificationsTest, NobodyIsWaitedForWhoDoesNotWait) {
    settle();
    auto caller = std::make_shared<NotifyCall>();
    Notification late(blobs_id, {"a"}, caller);
    caller.reset();
    notifications_.add(*sequencer_, std::move(late));
    EXPECT_THAT(out(), IsEmpty());
}

}  // namespace
}  // namespace antipode::primary
