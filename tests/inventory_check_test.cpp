// A secondary's inventory against the primary's, both real, without what lies between: what is lost
// is found, and what is only late is not.
#include "secondary/inventory_check.hpp"

#include <deque>
#include <random>

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "primary/bulk.hpp"
#include "primary/inventory.hpp"
#include "tests/support/direct_bulk.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using secondary::InventoryCheck;
using secondary::Registry;

const StoreId files{StoreKind::Blobs, "files"};
constexpr std::chrono::milliseconds interval(3000);

Position at(uint64_t number) {
    return {1, 1, number};
}
Digest digest_of(uint64_t content) {
    return {"blob-1", std::to_string(content)};
}

class InventoryCheckTest : public testing::Test {
  protected:
    /// `kept`: in files, which others may open, too.
    explicit InventoryCheckTest(bool kept = true)
        : inventory_(kept ? directory_.path() / "inventory.db" : ""),
          registry_(kept ? directory_.path() / "registry.db" : "", clock_) {
        spdlog::set_level(spdlog::level::off);
    }
    ~InventoryCheckTest() override { spdlog::set_level(spdlog::level::info); }

    /// Published, as the next event of the lane. Digest{}: removed.
    void publish(const std::string& item, const Digest& digest) {
        const primary::Inventory::Record record{
            files, item, {digest.empty() ? "" : "state", digest}, at(++newest_)};
        inventory_.record({&record, 1});
    }
    /// `finished`: everything up to here is.
    void apply(const std::string& item, const Digest& digest, uint64_t position,
               uint64_t finished) {
        const Registry::Outcome outcome{item, at(position), at(position), digest, {}};
        registry_.record(files, {&outcome, 1}, at(finished));
    }
    void both(const std::string& item, const Digest& digest) {
        publish(item, digest);
        apply(item, digest, newest_, newest_);
    }
    void both_have(int items) {
        std::vector<primary::Inventory::Record> records;
        std::vector<Registry::Outcome> outcomes;
        for (int i = 0; i < items; ++i) {
            const std::string item = "item " + std::to_string(i);
            records.push_back({files, item, {"state", digest_of(7)}, at(++newest_)});
            outcomes.push_back({item, at(newest_), at(newest_), digest_of(7), {}});
        }
        inventory_.record(records);
        registry_.record(files, outcomes, at(newest_));
    }
    bool was_equal_just_now() const {
        return status().equal_at && *status().equal_at > clock_.now() - interval;
    }
    void pass(std::chrono::milliseconds time) {
        for (; time.count() > 0; time -= std::chrono::milliseconds(100)) {
            clock_.advance(std::chrono::milliseconds(100));
            check_.step({});
        }
    }
    void sql(sqlite::Database& database, const std::string& statement) {
        ASSERT_GT(database.execute(statement), 0) << statement;
    }
    bool awaited(const std::string& item) const { return registry_.is_awaited(files, item); }
    InventoryCheck::Status status() const { return check_.status(files); }

    TemporaryDirectory directory_;
    ManualClock clock_;
    primary::Inventory inventory_;
    Registry registry_;
    primary::ItemBulk bulk_{files, inventory_, nullptr};
    DirectBulk source_{bulk_};
    InventoryCheck check_{{.stores = {files}, .interval = interval}, registry_, source_, clock_};
    uint64_t newest_ = 0;
};

TEST_F(InventoryCheckTest, FindsALostEventAndNamesTheItemByFewBytes) {
    both_have(5000);
    pass(interval);
    EXPECT_TRUE(was_equal_just_now());
    EXPECT_EQ(source_.requests, (std::vector<std::string>{"blobs/files/inventory/sums"}));

    publish("item 17", digest_of(8));  // a change,
    publish("item 18", {});            // a removal,
    publish("new", digest_of(9));      // and a new item, of which nothing came
    apply("item 19", digest_of(7), newest_, newest_);
    pass(2 * interval);
    for (const char* item : {"item 17", "item 18", "new"}) {
        EXPECT_TRUE(awaited(item)) << item;
    }
    EXPECT_EQ(registry_.exception_count(files), 3u);
    EXPECT_EQ(status().differed, 3u);
    EXPECT_EQ(registry_.found_differing(files), 3u);
    EXPECT_EQ(registry_.found_by_reading(files), 0u) << "nobody has looked at their content";
    EXPECT_EQ(
        std::count(source_.requests.begin(), source_.requests.end(), "blobs/files/inventory/items"),
        1);
    EXPECT_LT(inventory_.items_in(files, {verify::bucket_of("new")}).items.size(), 50u);
    EXPECT_NE(registry_.exceptions(9).front().reason.find("the primary's blob-1:38"),
              std::string::npos)
        << registry_.exceptions(9).front().reason;

    // They come again.
    publish("item 17", digest_of(8));
    apply("item 17", digest_of(8), newest_, newest_);
    publish("item 18", {});
    apply("item 18", {}, newest_, newest_);
    both("new", digest_of(9));
    registry_.remove_mended({}, {{files, at(newest_)}});
    pass(interval);
    EXPECT_EQ(registry_.exception_count(files), 0u);
    EXPECT_TRUE(was_equal_just_now());
    EXPECT_EQ(status().differed, 3u);
}

TEST_F(InventoryCheckTest, FindsRowsOfEitherSiteThatChangedByThemselves) {
    both_have(3000);
    pass(interval);
    {
        sqlite::Database here(directory_.path() / "registry.db", sqlite::Database::Sync::Normal);
        sql(here, "UPDATE item SET digest = x'38' WHERE item = CAST('item 1000' AS BLOB)");
        sql(here, "DELETE FROM item WHERE item = CAST('item 2000' AS BLOB)");
        sqlite::Database there(directory_.path() / "inventory.db", sqlite::Database::Sync::Normal);
        sql(there, "UPDATE published SET digest = x'38' WHERE item = CAST('item 3' AS BLOB)");
    }
    primary::Inventory::Corrected corrected;
    while (!corrected.ended) {
        corrected = inventory_.correct_sums(files, 500);
    }
    EXPECT_EQ(corrected.sums, 1u);
    pass(3 * interval);
    for (const char* item : {"item 1000", "item 2000", "item 3"}) {
        EXPECT_TRUE(awaited(item)) << item;
    }
    EXPECT_EQ(registry_.exception_count(files), 3u);
    EXPECT_EQ(status().damaged, 2u);
}

TEST_F(InventoryCheckTest, SumsOutliveARestartAndOldStateGetsThem) {
    both_have(100);
    both("item 5", {});
    const auto total = registry_.total(files);
    EXPECT_EQ(total.items, 99u);
    EXPECT_EQ(total, Registry(directory_.path() / "registry.db", clock_).total(files));
    {
        sqlite::Database old(directory_.path() / "registry.db", sqlite::Database::Sync::Normal);
        sql(old, "DELETE FROM inventory_sum");
        sql(old, "UPDATE item SET bucket = -1");
    }
    EXPECT_EQ(total, Registry(directory_.path() / "registry.db", clock_).total(files));
    EXPECT_TRUE(inventory_.sums(files, total).equal);
}

TEST_F(InventoryCheckTest, WhatThePrimaryDoesNotKnowItselfIsNoDifference) {
    both("a", digest_of(1));
    both("b", digest_of(2));
    // A crash between an event and its record: the stream has what the inventory has not.
    const primary::Inventory::Record unrecorded{files, "a", {}, at(++newest_)};
    inventory_.take_in({&unrecorded, 1});
    apply("a", digest_of(5), newest_, newest_);
    pass(4 * interval);
    EXPECT_EQ(status().differed, 0u);
    EXPECT_EQ(status().undecided, 1u);
    // It was published again, or is what was recorded: then the secondary has something else.
    inventory_.settled(files);
    inventory_.set_recorded_through(at(++newest_));
    apply("c", {}, newest_, newest_);
    pass(2 * interval);
    EXPECT_TRUE(awaited("a"));
    EXPECT_EQ(status().differed, 1u);
}

TEST_F(InventoryCheckTest, WhatThePrimaryDoesNotKnowItselfOutlivesItsSecondCrash) {
    both("a", digest_of(1));
    const primary::Inventory::Record unrecorded{files, "a", {}, at(++newest_)};
    inventory_.take_in({&unrecorded, 1});
    const auto unsure = std::vector{verify::bucket_of("a")};
    const auto restarted = [&] { return primary::Inventory(directory_.path() / "inventory.db"); };
    EXPECT_EQ(restarted().sums(files, {}).unsure, unsure);
    EXPECT_EQ(restarted().items_in(files, unsure).unsure, unsure);
    inventory_.settled(files);
    EXPECT_TRUE(restarted().sums(files, {}).unsure.empty());
    inventory_.take_in({&unrecorded, 1});
    inventory_.clear();
    EXPECT_TRUE(restarted().sums(files, {}).unsure.empty());
}

TEST_F(InventoryCheckTest, BehindAGapNothingIsCompared) {
    both("a", digest_of(1));
    publish("b", digest_of(2));
    registry_.set_gap(files, at(newest_), clock_.now());
    apply("a", digest_of(1), newest_, newest_);
    pass(4 * interval);
    EXPECT_EQ(status().differed, 0u);
    EXPECT_TRUE(source_.requests.empty());
}

class UnderLoad : public InventoryCheckTest {
  protected:
    UnderLoad() : InventoryCheckTest(false) {}
};

/// Items are applied late, in another order, in batches, and some not at once; the lane's position
/// follows. Nothing is lost.
TEST_F(UnderLoad, NoLoadMakesAFalseAlarm) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](size_t end) {
        return std::uniform_int_distribution<size_t>(0, end - 1)(random);
    };
    struct Event {
        std::string item;
        Digest digest;
        uint64_t number;
    };
    std::deque<Event> waiting;
    const auto apply_one = [&] {
        // The first event of some item: an item's events go one after another.
        const Event chosen = waiting[below(std::min<size_t>(waiting.size(), 50))];
        const auto first = std::find_if(waiting.begin(), waiting.end(), [&](const Event& event) {
            return event.item == chosen.item;
        });
        const Event event = *first;
        waiting.erase(first);
        apply(event.item, event.digest, event.number,
              waiting.empty() ? newest_ : std::min(waiting.front().number - 1, newest_));
    };
    for (int round = 0; round < 3000; ++round) {
        for (size_t i = below(8); i > 0; --i) {
            const std::string item = "item " + std::to_string(below(below(2) == 0 ? 5 : 3000));
            const Digest digest = below(5) == 0 ? Digest{} : digest_of(random());
            publish(item, digest);
            waiting.push_back({item, digest, newest_});
        }
        for (size_t i = below(9); i > 0 && !waiting.empty(); --i) {
            apply_one();
        }
        clock_.advance(std::chrono::milliseconds(100));
        check_.step({});
        ASSERT_EQ(status().differed, 0u) << status().last_differing;
    }
    EXPECT_EQ(status().damaged, 0u);
    EXPECT_GT(source_.requests.size(), 50u);
    while (!waiting.empty()) {
        apply_one();
    }
    pass(2 * interval);
    EXPECT_TRUE(was_equal_just_now());
}

}  // namespace
}  // namespace antipode::test
