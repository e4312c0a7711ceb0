#include "failover/handover.hpp"

#include <set>

#include "failover/lost_items.hpp"

namespace antipode::failover {
namespace {

using Cuts = google::protobuf::RepeatedPtrField<v1::LaneCut>;

constexpr size_t batch = 1000;

class InventoryHash {
  public:
    void add(const std::string& item, const Digest& digest) {
        std::string length(8, '\0');
        for (size_t i = 0; i < length.size(); ++i) {
            length[i] = static_cast<char>(item.size() >> (8 * (7 - i)));
        }
        stream_.update(length);
        stream_.update(item);
        stream_.update(digest.to_string() + "\n");
    }
    Digest finish() { return {"inventory-1", std::string(view(stream_.finish()))}; }

  private:
    Sha256Stream stream_;
};

}  // namespace

Digest inventory_digest(const primary::Inventory& inventory, const StoreId& store) {
    InventoryHash hash;
    inventory.for_each(store, [&](const std::string& item, const primary::Published& published) {
        hash.add(item, published.digest);
        return true;
    });
    return hash.finish();
}

Digest inventory_digest(const secondary::Registry& registry, const StoreId& store) {
    InventoryHash hash;
    registry.for_each(store, [&](const std::string& item, const secondary::ItemState& state) {
        hash.add(item, state.digest);
    });
    return hash.finish();
}

const v1::LaneCut* find_cut(const Cuts& cuts, const StoreId& store) {
    for (const v1::LaneCut& cut : cuts) {
        if (cut.store() == store.to_string()) {
            return &cut;
        }
    }
    return nullptr;
}

Position position_of(const v1::LaneCut& cut) {
    return {cut.epoch(), cut.session(), cut.number()};
}

void seed_registry(const primary::Inventory& inventory, const std::vector<StoreId>& stores,
                   const Cuts& cuts, secondary::Registry& registry) {
    registry.clear();
    for (const StoreId& store : stores) {
        const v1::LaneCut* const cut = find_cut(cuts, store);
        const Position position = cut == nullptr ? Position{} : position_of(*cut);
        const auto still = inventory.unproven(store);
        const std::set<std::string> unproven(still.begin(), still.end());
        std::vector<secondary::Registry::Outcome> outcomes;
        const auto record = [&] {
            registry.record(store, outcomes, position);
            outcomes.clear();
        };
        inventory.for_each(
            store, [&](const std::string& item, const primary::Published& published) {
                // What could not be read is whatever the primary has not.
                if (!published.forgotten() || is_unreadable(published)) {
                    outcomes.push_back({item, position, position, published.digest, {}});
                    outcomes.back().unproven = unproven.contains(item);
                }
                if (outcomes.size() >= batch) {
                    record();
                }
                return true;
            });
        record();
        registry.set_lane(store, {position, position});
    }
}

void seed_inventory(const secondary::Registry& registry,
                    const std::vector<primary::ItemCapture*>& captures,
                    const std::set<std::string>& secondaries, const Cuts& starts,
                    primary::Inventory& inventory) {
    inventory.clear();
    for (primary::ItemCapture* capture : captures) {
        const StoreId& store = capture->store();
        std::vector<std::pair<std::string, Digest>> items;
        registry.for_each(store, [&](const std::string& item, const secondary::ItemState& state) {
            items.emplace_back(item, state.digest);
        });
        std::vector<primary::Inventory::Record> records;
        for (const auto& [item, digest] : items) {
            // At the origin, so that it is not taken for a part of this epoch's stream.
            if (auto published = capture->assume(item, digest)) {
                records.push_back({store, item, std::move(*published), Position{}});
            }
            if (records.size() >= batch) {
                inventory.record(records);
                records.clear();
            }
        }
        inventory.record(records);
        inventory.add_unproven(store, registry.unproven_items(store));
    }
    // The slots must keep what these sites lack before they report for the first time.
    std::map<std::string, std::string> reports;
    for (const std::string& site : secondaries) {
        v1::SiteReport report;
        report.set_site(site);
        report.set_role("secondary");
        for (const v1::LaneCut& start : starts) {
            v1::LaneReport& lane = *report.add_lanes();
            lane.set_store(start.store());
            lane.set_safe_lsn(start.lsn());
        }
        reports[site] = report.SerializeAsString();
    }
    inventory.remember_sites(reports);
}

}  // namespace antipode::failover
