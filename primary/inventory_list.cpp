#include "adapters/sqlite/item_names.hpp"
#include "primary/inventory_state.hpp"

/// What operators may ask of single items.
namespace antipode::primary {

Inventory::ListedItem Inventory::State::listed(const StoreId& store, const std::string& name) {
    ListedItem item{name, {}, {}, {}, {}};
    const std::vector<sqlite::Value> of = {store.to_string(), Bytes{name}};
    database.query(
        "SELECT state, digest_algorithm, digest, epoch, session, number FROM published "
        "WHERE store = ? AND item = ?",
        of, [&](const RowView& row) {
            item.published = published_of(row, 0);
            item.position = {row.number(3), row.number(4), row.number(5)};
            return false;
        });
    database.query("SELECT reason, since_us FROM defect WHERE store = ? AND item = ?", of,
                   [&](const RowView& row) {
                       item.defect = Defect{name, row.text(0), from_microseconds(row.integer(1))};
                       return false;
                   });
    database.query("SELECT decision FROM withheld WHERE store = ? AND item = ?", of,
                   [&](const RowView& row) {
                       item.withheld = static_cast<Decision>(row.integer(0));
                       return false;
                   });
    return item;
}

std::vector<Inventory::ListedItem> Inventory::list(const StoreId& store,
                                                   const ItemQuery& query) const {
    const NameRange range = range_of(query);
    std::scoped_lock lock(state_->mutex);
    std::set<std::string> names;
    const auto add = [&](const std::string& select) {
        sqlite::add_item_names(state_->database, select, store, range, query.most, names);
    };
    if (query.only != ItemQuery::Only::All) {
        add("SELECT item FROM defect WHERE store = ?");
    } else if (query.item) {
        names.insert(*query.item);
    } else {
        add("SELECT item FROM published WHERE store = ? AND digest_algorithm <> ''");
    }
    std::vector<ListedItem> items;
    for (const std::string& name : names) {
        ListedItem item = state_->listed(store, name);
        if (items.size() < query.most && (item.published || item.defect)) {
            items.push_back(std::move(item));
        }
    }
    return items;
}

}  // namespace antipode::primary
