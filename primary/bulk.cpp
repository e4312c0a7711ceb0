#include "primary/bulk.hpp"

#include <algorithm>

#include "protocol/inventory_reader.hpp"

namespace antipode::primary {
namespace {

constexpr size_t page_items = 4096;

/// The inventory as bytes, page by page: memory stays bounded however many items there are.
class InventoryBody final : public BulkBody {
  public:
    InventoryBody(StoreId store, const Inventory& inventory)
        : store_(std::move(store)), inventory_(inventory) {}

    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t) override {}

    size_t read(std::span<char> buffer) override {
        if (read_ == page_.size() && !ended_) {
            next_page();
        }
        const size_t count = std::min(buffer.size(), page_.size() - read_);
        std::copy_n(page_.data() + read_, count, buffer.data());
        read_ += count;
        return count;
    }

  private:
    void next_page() {
        page_.clear();
        read_ = 0;
        size_t items = 0;
        inventory_.for_each_after(
            store_, after_, [&](const std::string& item, const Published& published) {
                if (!published.forgotten()) {
                    page_ += protocol::encode_inventory_item(item, published.digest);
                }
                after_ = item;
                return ++items < page_items;
            });
        ended_ = items < page_items;
        if (page_.empty() && !ended_) {
            next_page();
        }
    }

    StoreId store_;
    const Inventory& inventory_;
    std::optional<std::string> after_;
    std::string page_;
    size_t read_ = 0;
    bool ended_ = false;
};

}  // namespace

std::unique_ptr<BulkBody> ItemBulk::open(const BulkRequest& request) {
    if (request.path == store_.to_string() + "/inventory") {
        return std::make_unique<InventoryBody>(store_, inventory_);
    }
    return content_ ? content_->open(request) : nullptr;
}

}  // namespace antipode::primary
