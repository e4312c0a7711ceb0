#pragma once

#include <filesystem>
#include <memory>

#include "base/config.hpp"
#include "base/seams/bulk.hpp"
#include "primary/inventory.hpp"
#include "protocol/antipode.pb.h"
#include "secondary/registry.hpp"

/// What a site that was promoted without the old primary had at that moment, kept for the return of
/// that one, and of any other site that was ahead: an inventory of its own, which nothing changes
/// later.
namespace antipode {

/// In the place of a database's items: its one item, whose digest is the applied LSN.
inline constexpr const char* applied_item = "applied";
inline constexpr const char* lsn_algorithm = "lsn";

/// Keeps a copy of `inventory`, as it was just seeded, for the epoch of `record`. No half runs.
void keep_cut(const Config& config, const v1::EpochRecord& record,
              const primary::Inventory& inventory);

/// What was kept for `epoch`; nullptr: nothing was, or it cannot be read. What was kept for another
/// one is deleted.
std::shared_ptr<primary::Inventory> kept_cut(const Config& config, uint64_t epoch);

/// All sites have come over (OldStreams). Whoever has it open may go on reading.
void drop_cut(const Config& config, uint64_t epoch);
/// Whatever epoch it is of: this site is no primary any more.
void drop_cut(const Config& config);

/// Deletes an inventory, with what SQLite keeps beside it. Durable when it returns.
void remove_inventory(const std::filesystem::path& file);

/// Answers "<store>/cut" and "<store>/cut-state?item=hex" from it, and leaves everything else to
/// the store's own handler. Thread-safe.
class CutBulk final : public BulkHandler {
  public:
    CutBulk(StoreId store, std::shared_ptr<primary::Inventory> cut,
            std::shared_ptr<BulkHandler> rest)
        : store_(std::move(store)), cut_(std::move(cut)), rest_(std::move(rest)) {}

    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    std::unique_ptr<BulkBody> state_of(const BulkRequest& request) const;

    const StoreId store_;
    const std::shared_ptr<primary::Inventory> cut_;
    const std::shared_ptr<BulkHandler> rest_;
};

}  // namespace antipode
