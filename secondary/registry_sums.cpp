#include "secondary/registry_state.hpp"

/// Sums of what is here.
namespace antipode::secondary {

verify::InventorySum Registry::total(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->sums.total(store);
}

std::vector<verify::SumTable::Bucket> Registry::sums(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->sums.buckets(store);
}

std::map<std::string, ItemState> Registry::bucket(const StoreId& store, uint32_t bucket) const {
    std::scoped_lock lock(state_->mutex);
    std::map<std::string, ItemState> items;
    state_->database.query(
        "SELECT item, digest_algorithm, digest, epoch, session, number FROM item "
        "INDEXED BY item_by_bucket WHERE store = ? AND bucket = ? AND digest_algorithm <> ''",
        {store.to_string(), number(bucket)}, [&](const RowView& row) {
            items[row.text(0)] = {Digest{row.text(1), row.text(2)}, position_at(row, 3)};
            return true;
        });
    return items;
}

verify::SumTable::Checked Registry::check_sums(const StoreId& store, size_t most) const {
    std::scoped_lock lock(state_->mutex);
    return state_->sums.check(store, most);
}

bool Registry::rebuild_sum(const StoreId& store, uint32_t bucket) {
    std::scoped_lock lock(state_->mutex);
    bool rebuilt = false;
    state_->changing_items([&] { rebuilt = state_->sums.rebuild(store, bucket); });
    return rebuilt;
}

}  // namespace antipode::secondary
