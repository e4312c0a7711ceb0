#include "adapters/sqlite/item_names.hpp"

namespace antipode::sqlite {

void add_item_names(Database& database, const std::string& select, const StoreId& store,
                    const NameRange& range, size_t most, std::set<std::string>& names) {
    std::vector<Value> parameters = {store.to_string(), Bytes{range.from}};
    if (range.end) {
        parameters.emplace_back(Bytes{*range.end});
    }
    parameters.emplace_back(static_cast<int64_t>(most));
    database.query(select + (range.from_included ? " AND item >= ?" : " AND item > ?") +
                       (range.end ? " AND item < ?" : "") + " ORDER BY item LIMIT ?",
                   parameters, [&](const RowView& row) {
                       names.insert(row.text(0));
                       return true;
                   });
}

}  // namespace antipode::sqlite
