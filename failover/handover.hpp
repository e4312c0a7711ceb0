#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/digest.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
#include "protocol/antipode.pb.h"
#include "secondary/registry.hpp"

/// What a site knows of its items, taken from one role to the other: what a primary has published
/// is what a secondary has, and the other way round. So nothing is copied or hashed again.
namespace antipode::failover {

/// Of all items of a store and their digests: equal on both sites when they have the same.
/// "inventory-1": SHA-256 over, for each item in the order of its bytes, its length (8 bytes,
/// big-endian), its bytes, and its digest as text and a newline.
Digest inventory_digest(const primary::Inventory& inventory, const StoreId& store);
Digest inventory_digest(const secondary::Registry& registry, const StoreId& store);

/// The item's lane in a list of positions; nullptr: it is not there.
const v1::LaneCut* find_cut(const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts,
                            const StoreId& store);
Position position_of(const v1::LaneCut& cut);

/// A former primary becomes a secondary that stands at `cuts`.
void seed_registry(const primary::Inventory& inventory, const std::vector<StoreId>& stores,
                   const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts,
                   secondary::Registry& registry);

/// A former secondary becomes the primary. `secondaries` have all that it has, and stand where the
/// new epoch's lanes start.
void seed_inventory(const secondary::Registry& registry,
                    const std::vector<primary::ItemCapture*>& captures,
                    const std::set<std::string>& secondaries,
                    const google::protobuf::RepeatedPtrField<v1::LaneCut>& starts,
                    primary::Inventory& inventory);

}  // namespace antipode::failover
