#include "primary/sweep.hpp"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const StoreId files{StoreKind::Blobs, "files"};

/// Items that are broken as the test says.
class Items final : public ItemCapture {
  public:
    const StoreId& store() const override { return files; }
    Noticed drain() override { return {}; }
    Noticed reconcile(const std::stop_token&) override { return {}; }
    std::optional<Reading> read(const std::string&, bool, const std::stop_token&) override {
        return std::nullopt;
    }
    bool notices_everything() const override { return true; }
    std::string defect(const std::string& item, const Pace& pace, const std::stop_token&) override {
        looked.push_back(item);
        pace(1);
        if (unreadable == item) {
            throw Error(Reaction::Retry, "input/output error");
        }
        auto found = broken.find(item);
        return found == broken.end() || found->second-- <= 0 ? "" : "it is broken";
    }

    std::vector<std::string> looked;
    std::map<std::string, int> broken;  ///< how many looks find it so
    std::string unreadable;
};

class SweepTest : public testing::Test {
  protected:
    void publish(const std::vector<std::string>& items) {
        std::vector<Inventory::Record> records;
        for (const std::string& item : items) {
            records.push_back({files, item, {"state", {"blob-1", "digest"}}, {1, 1, ++number_}});
        }
        inventory_.record(records);
    }
    void round() {
        while (sweep_.step({})) {
        }
    }
    std::vector<std::string> defects() const {
        std::vector<std::string> names;
        for (const auto& defect : inventory_.defects(files, 100)) {
            names.push_back(defect.item + ": " + defect.reason);
        }
        return names;
    }

    ManualClock clock_;
    Items items_;
    Inventory inventory_{""};
    Sweep sweep_{items_, inventory_, {.period = std::chrono::hours(24)}, clock_};
    uint64_t number_ = 0;
};

TEST_F(SweepTest, LooksAtEverythingOnceInAPeriod) {
    std::vector<std::string> names;
    for (int i = 100; i < 400; ++i) {
        names.push_back("f" + std::to_string(i));
    }
    publish(names);
    EXPECT_EQ(sweep_.looked_since(), std::nullopt);
    const TimePoint began = clock_.now();
    round();
    EXPECT_EQ(items_.looked, names);
    EXPECT_EQ(sweep_.looked_since(), began);
    clock_.advance(std::chrono::hours(23));
    round();
    EXPECT_EQ(items_.looked.size(), names.size());
    clock_.advance(std::chrono::hours(2));
    round();
    EXPECT_EQ(items_.looked.size(), 2 * names.size());
    EXPECT_EQ(sweep_.looked_since(), clock_.now());
}

TEST_F(SweepTest, ARestartGoesOnWhereItStood) {
    std::vector<std::string> names;
    for (int i = 100; i < 300; ++i) {
        names.push_back("f" + std::to_string(i));
    }
    publish(names);
    EXPECT_TRUE(sweep_.step({}));
    Sweep again(items_, inventory_, {.period = std::chrono::hours(24)}, clock_);
    while (again.step({})) {
    }
    EXPECT_EQ(items_.looked, names) << "each once";
}

TEST_F(SweepTest, WhatIsBrokenIsNamedUntilItIsRight) {
    publish({"a", "b", "c"});
    items_.broken["b"] = 2;
    items_.unreadable = "c";
    round();
    EXPECT_THAT(defects(), ElementsAre("b: it is broken")) << "of c nothing is known";
    EXPECT_EQ(inventory_.defect_count(files), 1u);
    EXPECT_EQ(sweep_.looked_since(), std::nullopt) << "not at c";
    clock_.advance(std::chrono::hours(1));
    round();
    EXPECT_THAT(defects(), IsEmpty());
    EXPECT_EQ(sweep_.looked_since(), std::nullopt);
    items_.unreadable.clear();
    clock_.advance(std::chrono::hours(1));
    round();
    EXPECT_EQ(sweep_.looked_since(), clock_.now() - std::chrono::hours(2));
    EXPECT_EQ(items_.looked.size(), 7u) << "a and b once more than at what could not be read";
}

TEST_F(SweepTest, APushIntoWhatIsBrokenMendsNothing) {
    const StoreId store{StoreKind::Repositories, "git"};
    const auto publish_it = [&](const Digest& digest) {
        const Inventory::Record record{store, "r.git", {"state", digest}, {1, 1, ++number_}};
        inventory_.record({&record, 1});
    };
    publish_it({"refs-1", "digest"});
    inventory_.note_defect(store, {"r.git", "missing blob", clock_.now()});
    publish_it({"refs-1", "another"});
    EXPECT_EQ(inventory_.defect_count(store), 1u);
    publish_it({});
    EXPECT_EQ(inventory_.defect_count(store), 0u) << "it is gone";
}

TEST_F(SweepTest, WhatIsPublishedAgainIsBrokenNoMore) {
    publish({"a"});
    items_.broken["a"] = 2;
    round();
    EXPECT_THAT(defects(), ElementsAre("a: it is broken"));
    publish({"a"});
    EXPECT_THAT(defects(), IsEmpty());
    EXPECT_EQ(inventory_.defect_count(files), 0u);
}

TEST_F(SweepTest, WhatIsFoundOnceOnlyWasAChange) {
    publish({"a"});
    items_.broken["a"] = 1;
    round();
    EXPECT_THAT(defects(), IsEmpty());
}

TEST_F(SweepTest, WhereNothingCanBeReadItWaits) {
    publish({"a"});
    items_.unreadable = "a";
    EXPECT_THROW(sweep_.step({}), Error);
    EXPECT_EQ(sweep_.looked_since(), std::nullopt);
    EXPECT_THAT(defects(), IsEmpty());
    items_.unreadable.clear();
    round();
    EXPECT_NE(sweep_.looked_since(), std::nullopt);
}

TEST_F(SweepTest, WhatNobodyHasReadHereComesFirst) {
    publish({"a", "b", "c", "d"});
    inventory_.add_unproven(files, std::vector<std::string>{"d", "c", "b"});
    items_.broken["c"] = 2;
    items_.unreadable = "b";
    EXPECT_TRUE(sweep_.step({}));
    EXPECT_THAT(items_.looked, ElementsAre("d", "c", "c", "b"));
    EXPECT_THAT(defects(), ElementsAre("c: it is broken"));
    EXPECT_THAT(inventory_.unproven(files), ElementsAre("b"));
    // What cannot be read holds up nothing, and is tried again.
    round();
    EXPECT_EQ(sweep_.looked_since(), std::nullopt);
    items_.unreadable.clear();
    items_.looked.clear();
    EXPECT_FALSE(sweep_.step({}));
    clock_.advance(std::chrono::minutes(11));
    EXPECT_TRUE(sweep_.step({}));
    EXPECT_THAT(items_.looked, ElementsAre("b"));
    EXPECT_THAT(inventory_.unproven(files), IsEmpty());
    EXPECT_NE(sweep_.looked_since(), std::nullopt);
    EXPECT_FALSE(sweep_.step({}));
    // Also where nothing is read again.
    inventory_.add_unproven(files, std::vector<std::string>{"a"});
    Sweep never(items_, inventory_, {.period = std::chrono::milliseconds(0)}, clock_);
    EXPECT_TRUE(never.step({}));
    EXPECT_FALSE(never.step({}));
}

TEST_F(SweepTest, NeverIsNever) {
    publish({"a"});
    Sweep never(items_, inventory_, {.period = std::chrono::milliseconds(0)}, clock_);
    EXPECT_FALSE(never.step({}));
    EXPECT_THAT(items_.looked, IsEmpty());
}

TEST_F(SweepTest, AClockThatWasSetBackEndsNothing) {
    publish({"a"});
    clock_.advance(std::chrono::hours(100));
    round();
    ManualClock earlier;
    Sweep after(items_, inventory_, {.period = std::chrono::hours(24)}, earlier);
    while (after.step({})) {
    }
    EXPECT_EQ(items_.looked.size(), 2u);
}

}  // namespace
}  // namespace antipode::primary
