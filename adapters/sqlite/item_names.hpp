#pragma once

#include <set>
#include <string>

#include "adapters/sqlite/database.hpp"
#include "base/ids.hpp"
#include "base/item_query.hpp"

namespace antipode::sqlite {

/// Adds to `names` those in the range that `select` gives, the first `most`. `select` yields items'
/// names and ends within a condition whose first parameter is the store: "SELECT item FROM t WHERE
/// store = ? AND ...".
void add_item_names(Database& database, const std::string& select, const StoreId& store,
                    const NameRange& range, size_t most, std::set<std::string>& names);

}  // namespace antipode::sqlite
