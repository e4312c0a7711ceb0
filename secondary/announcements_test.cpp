#include "secondary/announcements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/message.hpp"

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const StoreId blobs{StoreKind::Blobs, "files"};
const StoreId repositories{StoreKind::Repositories, "git"};

Position at(uint64_t number, uint64_t session = 1) {
    return {1, session, number};
}

class AnnouncementsTest : public testing::Test {
  protected:
    void open(const Position& position, const std::vector<std::string>& items,
              bool removals = false, const StoreId& store = blobs) {
        announcements_.open(store, position, items, removals, now_);
    }
    SteadyTime now_{};
    Announcements announcements_;
};

TEST_F(AnnouncementsTest, AreCompleteWithTheirLastItem) {
    open(at(1), {"a", "b"});
    open(at(2), {"c"}, false, repositories);
    EXPECT_EQ(announcements_.oldest(), at(1));
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(1)), IsEmpty());
    EXPECT_THAT(announcements_.fulfil(repositories, "b", at(1)), IsEmpty()) << "another store's";
    EXPECT_THAT(announcements_.fulfil(blobs, "b", at(1)), ElementsAre(at(1)));
    EXPECT_EQ(announcements_.oldest(), at(2));
    EXPECT_THAT(announcements_.fulfil(repositories, "c", at(9)), ElementsAre(at(2)));
    EXPECT_FALSE(announcements_.oldest());
}

TEST_F(AnnouncementsTest, OfEachStoreAreWaitedForByThemselves) {
    EXPECT_FALSE(announcements_.waited_for(blobs));
    open(at(1), {"a"}, false, repositories);
    open(at(2), {"a"});
    open(at(3), {"b"}, true);
    open(at(4), {"c"});
    open(at(5), {"a"}, false, repositories);
    const auto open_ones = announcements_.waited_for(blobs);
    ASSERT_TRUE(open_ones);
    EXPECT_EQ(open_ones->oldest, at(2));
    EXPECT_EQ(open_ones->newest, at(4));
    EXPECT_TRUE(announcements_.is_waited_for(blobs, at(2)));
    EXPECT_FALSE(announcements_.is_waited_for(repositories, at(2)));
    announcements_.fulfil(blobs, "a", at(2));
    announcements_.fulfil(blobs, "c", at(4));
    EXPECT_FALSE(announcements_.waited_for(blobs)) << "no row waits for a removal";
}

TEST_F(AnnouncementsTest, AnEventFulfilsTheEarlierOnesOfItsItem) {
    open(at(1), {"a"});
    open(at(2), {"a", "b"});
    open(at(5), {"a"});
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(2)), ElementsAre(at(1)));
    EXPECT_THAT(announcements_.fulfil(blobs, "b", at(2)), ElementsAre(at(2)));
    EXPECT_EQ(announcements_.oldest(), at(5));
}

TEST_F(AnnouncementsTest, ARemovalThatFollowsStaysOpen) {
    open(at(1), {"a"});
    open(at(2), {"a"}, true);
    open(at(3), {"a"});
    announcements_.removal_follows(blobs, "a", at(3));
    EXPECT_FALSE(announcements_.oldest()) << "no row waits for any of them";
    EXPECT_FALSE(announcements_.is_waited_for(blobs, at(1)));
    EXPECT_EQ(announcements_.open_items(blobs), 1U) << "but they are not complete";
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(2)), ElementsAre(at(1), at(2)));
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(3)), ElementsAre(at(3)));
}

TEST_F(AnnouncementsTest, WhatStandsBehindARemovalLeavesTheRemovalOpen) {
    open(at(1), {"a"}, true);
    open(at(2), {"a"});
    open(at(3), {"a"});
    EXPECT_THAT(announcements_.fulfil_before_removals(blobs, "a", at(3), at(2)),
                ElementsAre(at(3)));
    EXPECT_FALSE(announcements_.oldest());
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(2)), ElementsAre(at(1), at(2)));
}

TEST_F(AnnouncementsTest, AnItemNamedTwiceCountsOnce) {
    open(at(1), {"a", "a"});
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(1)), ElementsAre(at(1)));
}

TEST_F(AnnouncementsTest, NoRowWaitsForRemovals) {
    open(at(1), {"a"}, true);
    EXPECT_FALSE(announcements_.oldest());
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(1)), ElementsAre(at(1)))
        << "but the lane is not finished before";
}

TEST_F(AnnouncementsTest, ANewSessionEndsWhatIsNotAnnouncedAgain) {
    open(at(10), {"a"});
    open(at(11), {"b"});
    open(at(3, 2), {"a"});
    open(at(12), {"c"});
    open(at(13), {"d"});
    open(at(4, 2), {"d"}, true);
    open(at(14), {protocol::whole_store});
    const auto coming = [](const std::string& item, bool) {
        return item == "c" ? at(12) : Position{};
    };
    const auto lost = announcements_.fulfil_before_session(blobs, 1, 2, coming);
    EXPECT_THAT(lost.complete, ElementsAre(at(11))) << "c's event is here";
    EXPECT_EQ(lost.oldest, at(11));
    EXPECT_FALSE(announcements_.is_waited_for(blobs, at(13))) << "no row waits for what is gone";
    EXPECT_THAT(announcements_.fulfil(blobs, "d", at(4, 2)), ElementsAre(at(13), at(4, 2)))
        << "but the site is not as it was then before it is gone here";
    EXPECT_EQ(announcements_.oldest(), at(10)) << "its rows wait for the new announcement's event";
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(3, 2)), ElementsAre(at(10), at(3, 2)));
}

TEST_F(AnnouncementsTest, WhatWasLostInAGapIsNotWaitedFor) {
    open(at(1), {"lost", "coming"});
    open(at(2), {"lost"});
    open(at(3), {"later"});
    const auto coming = [](const std::string& item, bool) {
        return item == "coming" ? at(1) : Position{};
    };
    const auto lost = announcements_.give_up_lost(blobs, at(3), coming);
    EXPECT_THAT(lost.complete, ElementsAre(at(2)));
    EXPECT_EQ(lost.oldest, at(1));
    EXPECT_THAT(announcements_.fulfil(blobs, "coming", at(1)), ElementsAre(at(1)));
    EXPECT_EQ(announcements_.oldest(), at(3));
}

TEST_F(AnnouncementsTest, AChangeThatWasLostIsNotWaitedForBecauseARemovalIsHere) {
    open(at(1), {"a"});
    open(at(2), {"a"}, true);
    const auto coming = [](const std::string&, bool removals) {
        return removals ? at(2) : Position{};
    };
    const auto lost = announcements_.give_up_lost(blobs, at(3), coming);
    EXPECT_THAT(lost.complete, ElementsAre(at(1)));
    EXPECT_EQ(lost.oldest, at(1));
    EXPECT_EQ(announcements_.oldest(), std::nullopt);
    EXPECT_THAT(announcements_.fulfil(blobs, "a", at(2)), ElementsAre(at(2)));
}

TEST_F(AnnouncementsTest, TheOldestExpires) {
    open(at(1), {"gone"}, true);
    open(at(2), {"a", "b"});
    now_ += std::chrono::seconds(1);
    open(at(3), {"c"});
    announcements_.fulfil(blobs, "b", at(2));
    EXPECT_THAT(announcements_.expired(now_ - std::chrono::seconds(2)), IsEmpty());
    const auto expired = announcements_.expired(now_);
    ASSERT_EQ(expired.size(), 1U);
    EXPECT_EQ(expired[0].item, "a");
    EXPECT_EQ(expired[0].position, at(2));
}

}  // namespace
}  // namespace antipode::secondary
