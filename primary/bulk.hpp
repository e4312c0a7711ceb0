#pragma once

#include <memory>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "primary/inventory.hpp"

namespace antipode::primary {

/// The bulk service of one store of items: "<store>/inventory" is answered from the inventory,
/// everything else by the store's own handler. Thread-safe.
class ItemBulk final : public BulkHandler {
  public:
    ItemBulk(StoreId store, const Inventory& inventory, std::shared_ptr<BulkHandler> content)
        : store_(std::move(store)), inventory_(inventory), content_(std::move(content)) {}

    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    StoreId store_;
    const Inventory& inventory_;
    std::shared_ptr<BulkHandler> content_;
};

}  // namespace antipode::primary
