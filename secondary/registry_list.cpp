#include "adapters/sqlite/item_names.hpp"
#include "secondary/registry_state.hpp"

/// What operators may ask of single items.
namespace antipode::secondary {
namespace {

using Only = ItemQuery::Only;

/// Removed ones are remembered, too; they are no items.
const char* const existing = "SELECT item FROM item WHERE store = ? AND digest_algorithm <> ''";

std::string exceptional(Only only) {
    std::string sql = "SELECT item FROM exception WHERE store = ? AND item <> x''";
    if (only != Only::All) {
        sql += " AND kind <> " + std::to_string(mended);
    }
    if (only == Only::Differing) {
        sql += " AND failure = " + std::to_string(static_cast<int>(FailureClass::LocalDefect));
    }
    return sql;
}

}  // namespace

std::vector<Registry::ListedItem> Registry::list(const StoreId& store,
                                                 const ItemQuery& query) const {
    const NameRange range = range_of(query);
    std::scoped_lock lock(state_->mutex);
    std::set<std::string> names;
    const auto add = [&](const std::string& select) {
        sqlite::add_item_names(state_->database, select, store, range, query.most, names);
    };
    add(exceptional(query.only));
    if (query.item) {
        names.insert(*query.item);
    } else if (query.only == Only::All) {
        add(existing);
    }
    std::vector<ListedItem> items;
    for (const std::string& name : names) {
        ListedItem item = state_->listed(store, name);
        if (items.size() < query.most && (item.state || item.exception)) {
            items.push_back(std::move(item));
        }
    }
    return items;
}

}  // namespace antipode::secondary
