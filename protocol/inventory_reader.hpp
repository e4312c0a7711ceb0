#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/digest.hpp"

namespace antipode::protocol {

/// One item in the bulk service's inventory format: its length (4 bytes, big-endian), then an
/// InventoryItem.
std::string encode_inventory_item(const std::string& item, const Digest& digest);

/// Reads an inventory that comes in chunks. Throws Error{Retry} when it is malformed or cut off.
class InventoryReader {
  public:
    using Use = std::function<void(const std::string& item, const Digest& digest)>;
    explicit InventoryReader(Use use) : use_(std::move(use)) {}
    void feed(std::string_view chunk);
    /// Call at the end: throws when it is not whole.
    void finish() const;

  private:
    Use use_;
    std::string rest_;
};

}  // namespace antipode::protocol
