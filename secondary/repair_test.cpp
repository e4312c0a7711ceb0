#include "secondary/repair.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/settable_clock.hpp"
#include "protocol/inventory_reader.hpp"

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::chrono_literals;

const StoreId blobs{StoreKind::Blobs, "uploads"};
const StoreId rows{StoreKind::Database, "app"};

Digest digest(const std::string& content) {
    return {"blob-1", content};
}

Position at(uint64_t number) {
    return {1, 1, number};
}

/// The primary's inventory, as it is when it is asked for.
class Inventory final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, Range, const Headers&, const Sink& sink,
               const std::stop_token&) override {
        if (request.path.ends_with("/items")) {
            sink(published_through.to_string() + "\n");
            return {true, {}, {}};
        }
        ++looks;
        for (const auto& [item, content] : items) {
            sink(protocol::encode_inventory_item(item, digest(content)));
        }
        return {true, {}, {}};
    }
    std::map<std::string, std::string> items;
    Position published_through = at(1);
    int looks = 0;
};

class RepairTest : public testing::Test {
  protected:
    void SetUp() override { registry_.set_lane(rows, {at(1), at(1)}); }
    void apply(const std::string& item, const std::string& content, uint64_t number) {
        const std::vector<Registry::Outcome> outcomes{
            {item, at(number), at(number), digest(content), {}}};
        registry_.record(blobs, outcomes, at(number));
    }
    void open_gap(uint64_t number) {
        registry_.set_gap(blobs, at(number), clock_.now());
        registry_.set_gap_passed(blobs, at(number));
    }
    /// What the next look asks for.
    std::vector<std::string> look(std::chrono::seconds later = 1min) {
        asked_.clear();
        clock_.advance(later);
        repair_.step({});
        return asked_;
    }

    SettableClock clock_;
    Registry registry_{"", clock_};
    Inventory primary_;
    std::vector<std::string> asked_;
    Repair repair_{"sydney",
                   {blobs, rows},
                   registry_,
                   primary_,
                   [this](const v1::Want& want) {
                       asked_.insert(asked_.end(), want.items().begin(), want.items().end());
                       return true;
                   },
                   [](const StoreId&) { return Lsn{}; },
                   clock_};
};

TEST_F(RepairTest, AsksForWhatDiffersUntilNothingDoes) {
    apply("equal", "1", 1);
    apply("old", "1", 2);
    apply("gone", "1", 3);
    primary_.items = {{"equal", "1"}, {"old", "2"}, {"new", "1"}};
    open_gap(10);
    EXPECT_THAT(look(), ElementsAre("new", "old", "gone"));
    EXPECT_TRUE(registry_.gap(blobs)->rows_wait);
    apply("new", "1", 11);
    apply("old", "2", 12);
    EXPECT_THAT(look(), ElementsAre("gone"));
    EXPECT_FALSE(registry_.gap(blobs)->rows_wait) << "nothing that rows may name is missing";
    const std::vector<Registry::Outcome> removed{{"gone", at(13), at(13), Digest{}, {}}};
    registry_.record(blobs, removed, at(13));
    EXPECT_THAT(look(), IsEmpty());
    EXPECT_FALSE(registry_.gap(blobs));
}

/// What was made and removed again within the gap never comes, and the rows that named it do.
TEST_F(RepairTest, AGapIsMendedOnceRowsHaveComeToWhereItemsAre) {
    apply("equal", "1", 1);
    primary_.items = {{"equal", "1"}};
    primary_.published_through = at(20);
    registry_.set_lane(rows, {at(12), at(12)});
    open_gap(10);
    EXPECT_THAT(look(), IsEmpty());
    ASSERT_TRUE(registry_.gap(blobs));
    EXPECT_FALSE(registry_.gap(blobs)->rows_wait);
    primary_.published_through = at(30);
    registry_.set_lane(rows, {at(19), at(19)});
    look();
    EXPECT_TRUE(registry_.gap(blobs));
    registry_.set_lane(rows, {at(20), at(20)});
    look();
    EXPECT_FALSE(registry_.gap(blobs)) << "what was removed later has its events behind the gap";
}

/// Each look finds something else on its way: with a steady load there is no moment without.
TEST_F(RepairTest, AGapIsMendedAlthoughTheApplicationWritesAllTheTime) {
    apply("old", "1", 1);
    apply("busy", "1", 2);
    primary_.items = {{"old", "2"}, {"busy", "2"}, {"new 1", "1"}};
    open_gap(10);
    EXPECT_THAT(look(), ElementsAre("busy", "new 1", "old"));
    apply("old", "2", 11);
    apply("busy", "2", 12);
    apply("new 1", "1", 13);
    // What is changed, made and removed right now.
    apply("brief", "1", 14);
    primary_.items = {{"old", "2"}, {"busy", "3"}, {"new 1", "1"}, {"new 2", "1"}};
    EXPECT_THAT(look(), IsEmpty());
    EXPECT_FALSE(registry_.gap(blobs));
}

TEST_F(RepairTest, WhatTheGapSwallowedIsAskedForUntilItIsHere) {
    apply("busy", "1", 1);
    primary_.items = {{"lost", "1"}, {"busy", "1"}};
    open_gap(10);
    for (int times = 0; times < 3; ++times) {
        EXPECT_THAT(look(), ElementsAre("lost"));
        EXPECT_TRUE(registry_.gap(blobs)->rows_wait);
        primary_.items["new " + std::to_string(times)] = "1";
    }
    apply("lost", "1", 11);
    EXPECT_THAT(look(), IsEmpty());
    EXPECT_FALSE(registry_.gap(blobs));
}

/// What was on its way at the first look may be swallowed by the next gap.
TEST_F(RepairTest, WhileWhatIsAskedForComesItIsLookedForSoonAndNotAskedForAgain) {
    primary_.items = {{"a", "1"}, {"b", "1"}, {"c", "1"}};
    open_gap(10);
    for (int times = 0; times < 6; ++times) {
        EXPECT_THAT(look(), ElementsAre("a", "b", "c"));
    }
    apply("a", "1", 11);
    EXPECT_THAT(look(2s), IsEmpty());
    apply("b", "1", 12);
    EXPECT_THAT(look(2s), IsEmpty());
    EXPECT_TRUE(registry_.gap(blobs));
    apply("c", "1", 13);
    EXPECT_THAT(look(2s), IsEmpty());
    EXPECT_FALSE(registry_.gap(blobs));
}

TEST_F(RepairTest, WhereNothingComesItIsLookedForLessAndLessOften) {
    primary_.items = {{"a", "1"}};
    open_gap(10);
    for (int times = 0; times < 6; ++times) {
        look();
    }
    const int looks = primary_.looks;
    for (int second = 0; second < 31; ++second) {
        EXPECT_THAT(look(1s), IsEmpty());
    }
    EXPECT_EQ(primary_.looks, looks + 5) << "after 1, 2, 4, 8 and 16 seconds more";
}

/// A machine that is busy brings nothing for a while.
TEST_F(RepairTest, WhatComesBehindAPauseIsFoundBeforeItIsAskedForAgain) {
    primary_.items = {{"a", "1"}};
    open_gap(10);
    for (int times = 0; times < 6; ++times) {
        look();
    }
    look(1s);
    look(1s);
    apply("a", "1", 11);
    look(1s);
    EXPECT_FALSE(registry_.gap(blobs));
}

TEST_F(RepairTest, AGapThatGrowsIsLookedAtFromTheBeginning) {
    primary_.items = {{"first", "1"}};
    open_gap(10);
    EXPECT_THAT(look(), ElementsAre("first"));
    apply("first", "1", 11);
    primary_.items = {{"first", "2"}, {"second", "1"}};
    open_gap(20);
    EXPECT_THAT(look(), ElementsAre("first", "second"));
    apply("second", "1", 21);
    EXPECT_THAT(look(), ElementsAre("first"));
    EXPECT_TRUE(registry_.gap(blobs));
}

/// Set for a retry by a clock that was hours ahead.
TEST_F(RepairTest, WhatFailedIsAskedForAlthoughTheClockIsSetBack) {
    clock_.jump(3h);
    Exception exception;
    exception.store = blobs;
    exception.item = "failed";
    exception.position = at(1);
    exception.since = exception.next_try = clock_.now();
    registry_.add_exception(exception);
    EXPECT_THAT(look(), ElementsAre("failed"));
    clock_.jump(-3h);
    EXPECT_THAT(look(), ElementsAre("failed"));
}

/// Before, an event that came before the gap may still change anything.
TEST_F(RepairTest, OnlyLooksBehindTheGapCount) {
    apply("changes", "1", 1);
    primary_.items = {{"changes", "1"}, {"lost", "1"}};
    registry_.set_gap(blobs, at(10), clock_.now());
    EXPECT_THAT(look(), ElementsAre("lost"));
    apply("changes", "2", 2);
    apply("lost", "1", 11);
    registry_.set_gap_passed(blobs, at(10));
    EXPECT_THAT(look(), ElementsAre("changes"));
    EXPECT_TRUE(registry_.gap(blobs));
}

}  // namespace
}  // namespace antipode::secondary
