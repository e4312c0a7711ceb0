#include "failover/handover.hpp"

#include <gtest/gtest.h>

#include "failover/lost_items.hpp"

namespace antipode::failover {
namespace {

using Cuts = google::protobuf::RepeatedPtrField<v1::LaneCut>;

const StoreId blobs{StoreKind::Blobs, "uploads"};
const StoreId database{StoreKind::Database, "app"};
const Digest one{"blob-1", "one"};
const Digest two{"blob-1", "two"};

class FakeCapture final : public primary::ItemCapture {
  public:
    const StoreId& store() const override { return blobs; }
    primary::Noticed drain() override { return {}; }
    primary::Noticed reconcile(const std::stop_token&) override { return {}; }
    std::optional<primary::Reading> read(const std::string&, bool,
                                         const std::stop_token&) override {
        return std::nullopt;
    }
    std::optional<primary::Published> assume(const std::string& item,
                                             const Digest& digest) override {
        return item == "gone" ? std::nullopt
                              : std::optional(primary::Published{"state of " + item, digest});
    }
    bool notices_everything() const override { return true; }
};

Cuts cuts_at(const Position& position, Lsn lsn) {
    Cuts cuts;
    for (const StoreId& store : {blobs, database}) {
        v1::LaneCut& cut = *cuts.Add();
        cut.set_store(store.to_string());
        cut.set_epoch(position.epoch);
        cut.set_session(position.session);
        cut.set_number(position.number);
        cut.set_lsn(lsn.value);
    }
    return cuts;
}

TEST(Handover, BothSidesHaveOneDigestForTheSameItems) {
    primary::Inventory inventory({});
    const ManualClock clock;
    secondary::Registry registry({}, clock);
    EXPECT_EQ(inventory_digest(inventory, blobs), inventory_digest(registry, blobs));
    const std::vector<primary::Inventory::Record> records = {
        {blobs, "a", {"state", one}, {1, 1, 1}}, {blobs, "b\xff", {"state", two}, {1, 1, 2}}};
    inventory.record(records);
    EXPECT_NE(inventory_digest(inventory, blobs), inventory_digest(registry, blobs));
    const std::vector<secondary::Registry::Outcome> outcomes = {
        {"b\xff", {1, 1, 2}, {}, two, {}},
        {"a", {1, 1, 1}, {}, one, {}},
        {"removed", {1, 1, 1}, {}, Digest{}, {}}};
    registry.record(blobs, outcomes, {1, 1, 2});
    EXPECT_EQ(inventory_digest(inventory, blobs), inventory_digest(registry, blobs));
    const std::vector<secondary::Registry::Outcome> other = {{"a", {1, 1, 3}, {}, two, {}}};
    registry.record(blobs, other, {1, 1, 3});
    EXPECT_NE(inventory_digest(inventory, blobs), inventory_digest(registry, blobs));
}

TEST(Handover, AFormerPrimaryStandsAtTheCutWithAllItPublished) {
    primary::Inventory inventory({});
    std::vector<primary::Inventory::Record> records = {{blobs, "a", {"state", one}, {1, 1, 1}},
                                                       {blobs, "removed", {"", {}}, {1, 1, 2}}};
    for (int i = 0; i < 2500; ++i) {
        records.push_back({blobs, "n" + std::to_string(i), {"state", two}, {1, 1, 3}});
    }
    inventory.record(records);
    const ManualClock clock;
    secondary::Registry registry({}, clock);
    registry.set_gap(blobs, {1, 1, 1}, {});
    registry.set_fact("recovery_point", "1");
    for (int twice = 0; twice < 2; ++twice) {
        seed_registry(inventory, {blobs, database}, cuts_at({1, 5, 7}, Lsn{9}), registry);
        EXPECT_EQ(registry.count(blobs), 2501U);
        EXPECT_EQ(registry.find(blobs, "a")->digest, one);
        EXPECT_FALSE(registry.find(blobs, "removed"));
        EXPECT_EQ(registry.lane(database).finished, (Position{1, 5, 7}));
        EXPECT_EQ(registry.lane(blobs).transaction, (Position{1, 5, 7}));
        EXPECT_FALSE(registry.gap(blobs));
        EXPECT_FALSE(registry.fact("recovery_point"));
        EXPECT_EQ(inventory_digest(inventory, blobs), inventory_digest(registry, blobs));
    }
}

TEST(Handover, AFormerSecondaryPublishesNothingThatOthersHave) {
    const ManualClock clock;
    secondary::Registry registry({}, clock);
    const std::vector<secondary::Registry::Outcome> outcomes = {{"a", {1, 1, 1}, {}, one, {}},
                                                                {"gone", {1, 1, 2}, {}, two, {}}};
    registry.record(blobs, outcomes, {1, 1, 2});
    primary::Inventory inventory({});
    const std::vector<primary::Inventory::Record> old = {
        {blobs, "long ago", {"state", two}, {1, 1, 1}}};
    inventory.record(old);
    FakeCapture capture;
    seed_inventory(registry, {&capture}, {"london"}, cuts_at({2, 0, 0}, Lsn{77}), inventory);
    EXPECT_EQ(inventory.count(blobs), 1U);
    EXPECT_FALSE(inventory.find(blobs, "long ago"));
    // A stream that is empty takes nothing of it away.
    inventory.forget_after(Position{});
    ASSERT_TRUE(inventory.find(blobs, "a"));
    EXPECT_EQ(inventory.find(blobs, "a")->state, "state of a");
    v1::SiteReport report;
    ASSERT_TRUE(report.ParseFromString(inventory.sites().at("london")));
    EXPECT_EQ(report.role(), "secondary");
    EXPECT_EQ(report.lanes(1).safe_lsn(), 77U);
}

TEST(Handover, WhatIsUnprovenStaysSoInAnyRole) {
    const ManualClock clock;
    secondary::Registry registry({}, clock);
    std::vector<secondary::Registry::Outcome> outcomes = {{"a", {1, 1, 1}, {}, one, {}},
                                                          {"b", {1, 1, 2}, {}, two, {}}};
    outcomes[1].unproven = true;
    registry.record(blobs, outcomes, {1, 1, 2});
    primary::Inventory inventory({});
    FakeCapture capture;
    for (int twice = 0; twice < 2; ++twice) {
        seed_inventory(registry, {&capture}, {}, cuts_at({2, 0, 0}, Lsn{77}), inventory);
        EXPECT_EQ(inventory.unproven(blobs), std::vector<std::string>{"b"});
    }
    seed_registry(inventory, {blobs}, cuts_at({2, 5, 7}, Lsn{99}), registry);
    EXPECT_EQ(registry.unproven_items(blobs), std::vector<std::string>{"b"});
    inventory.proven(blobs, "b");
    seed_registry(inventory, {blobs}, cuts_at({2, 5, 8}, Lsn{99}), registry);
    EXPECT_EQ(registry.unproven(blobs), 0U);
    EXPECT_EQ(registry.count(blobs), 2U);
}

TEST(Handover, WhatCouldNotBeReadDiffersFromWhateverThePrimaryHas) {
    primary::Inventory inventory({});
    const ManualClock clock;
    secondary::Registry registry({}, clock);
    const std::vector<primary::Inventory::Record> records = {
        {blobs, "forgotten", {"", one}, {}},
        {blobs, "unreadable", {"", {unreadable_algorithm, "?"}}, {}}};
    inventory.record(records);
    seed_registry(inventory, {blobs}, cuts_at({2, 1, 1}, {}), registry);
    EXPECT_FALSE(registry.find(blobs, "forgotten"));
    ASSERT_TRUE(registry.find(blobs, "unreadable")) << "it would stay, unknown to anybody";
    EXPECT_EQ(registry.find(blobs, "unreadable")->digest.algorithm, unreadable_algorithm);
}

}  // namespace
}  // namespace antipode::failover
