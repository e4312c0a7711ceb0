#include "primary/inventory.hpp"

#include <gtest/gtest.h>

namespace antipode::primary {
namespace {

const StoreId blobs{StoreKind::Blobs, "files"};
const Digest digest{"blob-1", std::string(32, 'd')};

Position at(uint64_t number) {
    return {1, 1, number};
}

class InventoryTest : public testing::Test {
  protected:
    void published(const std::string& item, uint64_t number) {
        record({blobs, item, {"state", digest}, at(number)});
    }
    void removed(const std::string& item, uint64_t number) {
        record({blobs, item, {}, at(number)});
    }
    void record(const Inventory::Record& one) { inventory_.record({&one, 1}); }
    std::optional<Published> find(const std::string& item) { return inventory_.find(blobs, item); }

    Inventory inventory_{""};
};

TEST_F(InventoryTest, KnowsUpToWhereItIsComplete) {
    EXPECT_EQ(inventory_.recorded_through(), Position{});
    published("a", 7);
    published("b", 5);
    EXPECT_EQ(inventory_.recorded_through(), at(7));
    inventory_.set_recorded_through(at(9));
    inventory_.set_recorded_through(at(8));
    EXPECT_EQ(inventory_.recorded_through(), at(9));
    const Inventory::Record unrecorded{blobs, "c", {}, at(12)};
    inventory_.take_in({&unrecorded, 1});
    EXPECT_EQ(inventory_.recorded_through(), at(12));
}

TEST_F(InventoryTest, ForgetsOnlyWhatWasPublishedBehindAPlace) {
    published("a", 7);
    published("b", 8);
    inventory_.forget_after(at(8));
    EXPECT_FALSE(find("b")->forgotten());
    inventory_.forget_after(at(7));
    EXPECT_FALSE(find("a")->forgotten());
    EXPECT_TRUE(find("b")->forgotten());
    EXPECT_EQ(inventory_.count(blobs), 2U);
}

TEST_F(InventoryTest, DropsTheMemoryOfRemovalsThatEverySiteHas) {
    removed("a", 7);
    removed("b", 8);
    published("c", 6);
    inventory_.drop_removed_through(at(7));
    EXPECT_FALSE(find("a"));
    EXPECT_TRUE(find("b")->removed());
    EXPECT_EQ(find("c")->digest, digest);
}

}  // namespace
}  // namespace antipode::primary
