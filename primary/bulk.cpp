#include "primary/bulk.hpp"

#include <algorithm>
#include <sstream>

#include "primary/contents.hpp"
#include "protocol/inventory_reader.hpp"

namespace antipode::primary {
namespace {

constexpr size_t page_items = 4096;
/// In one answer, which is made in memory.
constexpr size_t most_buckets = 16;

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

std::string value_of(const BulkRequest& request, const std::string& name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? "" : found->second;
}

std::string items_in_buckets(const Inventory& inventory, const StoreId& store,
                             const BulkRequest& request) {
    std::vector<uint32_t> buckets;
    std::istringstream list(value_of(request, "buckets"));
    for (std::string bucket; std::getline(list, bucket, ',') && buckets.size() < most_buckets;) {
        buckets.push_back(static_cast<uint32_t>(std::strtoul(bucket.c_str(), nullptr, 10)));
    }
    const auto answer = inventory.items_in(store, buckets);
    std::string text = answer.position.to_string();
    for (const uint32_t bucket : answer.unsure) {
        text += " " + std::to_string(bucket);
    }
    text += "\n";
    for (const auto& [item, digest] : answer.items) {
        text += protocol::encode_inventory_item(item, digest);
    }
    return text;
}

}  // namespace

std::unique_ptr<BulkBody> ItemBulk::open(const BulkRequest& request) {
    const std::string inventory = store_.to_string() + "/inventory";
    if (request.path == inventory) {
        return std::make_unique<InventoryBody>(store_, inventory_);
    }
    if (request.path == inventory + "/sums") {
        const auto known = verify::InventorySum::parse(value_of(request, "known"));
        return body_of(verify::encode(inventory_.sums(store_, known)));
    }
    if (request.path == inventory + "/items") {
        return body_of(items_in_buckets(inventory_, store_, request));
    }
    return content_ ? content_->open(request) : nullptr;
}

}  // namespace antipode::primary
