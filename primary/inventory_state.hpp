#pragma once

#include <map>
#include <mutex>
#include <set>

#include "adapters/sqlite/database.hpp"
#include "primary/inventory.hpp"
#include "verify/sum_table.hpp"

/// What the parts of the inventory share; nobody else includes it.
namespace antipode::primary {

using sqlite::Bytes;
using sqlite::RowView;

inline int64_t signed_of(uint64_t value) {
    return static_cast<int64_t>(value);
}

inline Published published_of(const RowView& row, int first) {
    return {row.text(first), Digest{row.text(first + 1), row.text(first + 2)}};
}

struct Inventory::State {
    explicit State(const std::filesystem::path& file);
    /// A transaction that changes items.
    void changing_items(const std::function<void()>& body);
    void put(const Record& record);
    void load_unsettled();
    void add_unsettled(const StoreId& store, uint32_t bucket);
    std::set<uint32_t> unsure(const StoreId& store);
    void count_defects();
    void drop_defect(const StoreId& store, const std::string& item);
    void count_withheld();
    void drop_withheld(const StoreId& store, const std::string& item);
    uint64_t decide(const StoreId& store, Decision from, Decision to);
    /// In pages, so that the lock is not held while `use` works. `until` "": to the end.
    void for_each(const StoreId& store, std::string from, const std::string& until,
                  const std::function<bool(const std::string& item, const Published&)>& use);
    Position recorded_through();
    void set_recorded_through(const Position& position);
    ListedItem listed(const StoreId& store, const std::string& name);
    std::vector<std::pair<std::string, Published>> page(const StoreId& store,
                                                        const std::string& from, bool from_included,
                                                        const std::string& until);

    std::mutex mutex;
    sqlite::Database database;
    // What the tables hold, as it is asked for often:
    std::map<StoreId, WithheldCount> withheld;
    std::map<StoreId, uint64_t> defects;
    verify::SumTable sums;
    /// Buckets of items that were published without being recorded.
    std::map<StoreId, std::set<uint32_t>> unsettled;
};

}  // namespace antipode::primary
