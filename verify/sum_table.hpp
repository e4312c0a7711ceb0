#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/sqlite/database.hpp"
#include "verify/inventory_sums.hpp"

namespace antipode::verify {

/// The sums of a database's items, kept beside them in its table "inventory_sum" and changed in the
/// same transactions. The items' table has the columns store, item, digest_algorithm ('': it does
/// not exist), digest, bucket (-1: not known yet) and an index by (store, bucket). The owner locks.
/// Everything that reads sums throws Error{Retry} when they must be read from the database first
/// and cannot be.
class SumTable {
  public:
    struct Bucket {
        InventorySum sum;
        Position newest;  ///< of the items that changed in it since the table was made
    };
    /// What makes its tables: a migration. `items`: the items' table.
    static std::string migration(const std::string& items);

    SumTable(sqlite::Database& database, std::string items);

    /// Items from before there were sums get theirs.
    void load();
    /// What is in memory is not believed any more, because a transaction was rolled back or the
    /// tables were emptied: the next use loads it.
    void forget();

    // Within a transaction; flush() writes what changed, before it ends.
    void change(const StoreId& store, const std::string& item, const Digest& before,
                const Digest& after, const Position& at);
    void flush();
    void clear(const StoreId& store);
    /// Makes the sums of a bucket anew of its items. False: they were as they should be.
    bool rebuild(const StoreId& store, uint32_t bucket);

    const std::vector<Bucket>& buckets(const StoreId& store);
    InventorySum total(const StoreId& store);
    /// The newest change of any item of the store.
    Position newest(const StoreId& store);
    /// A pass over all items of a store, `most` at each call, in the order of their names: so they
    /// are read one after the other from the file, of which a bucket's are everywhere. At its end,
    /// the buckets whose sums are not those of their items.
    struct Checked {
        bool ended = false;
        std::vector<uint32_t> damaged;
    };
    Checked check(const StoreId& store, size_t most);

  private:
    std::string by_bucket() const;
    void fill_in();
    void count(const StoreId& store, const std::string& item, const Digest& before,
               const Digest& after, const Position& at);
    void put_in_place(const StoreId& store, uint32_t bucket);
    InventorySum sum_of_items(const StoreId& store, uint32_t bucket);
    /// Loads them when they are not.
    std::vector<Bucket>& of(const StoreId& store);
    std::vector<Bucket>& buckets_of(const StoreId& store);

    sqlite::Database& database_;
    const std::string items_;
    bool loaded_ = false;
    std::map<StoreId, std::vector<Bucket>> stores_;
    std::set<std::pair<StoreId, uint32_t>> changed_;
    struct Pass {
        std::string after;  ///< what is up to this item is in the sums; changes to it are, too
        std::vector<InventorySum> sums;
    };
    std::map<StoreId, Pass> passes_;
};

}  // namespace antipode::verify
