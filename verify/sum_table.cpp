#include "verify/sum_table.hpp"

namespace antipode::verify {
namespace {

using sqlite::Bytes;
using sqlite::RowView;
using sqlite::Value;

constexpr size_t page_items = 1000;

Value number(uint64_t value) {
    return static_cast<int64_t>(value);
}

/// Nobody knows what was published of such an item; it counts for nothing.
bool counts(const Digest& digest) {
    return digest.algorithm != "forgotten";
}

InventorySum counted(const std::string& item, const Digest& digest) {
    return counts(digest) ? sum_of(item, digest) : InventorySum{};
}

}  // namespace

std::string SumTable::migration(const std::string& items) {
    return "ALTER TABLE " + items + " ADD COLUMN bucket INTEGER NOT NULL DEFAULT -1;\n" +
           "CREATE INDEX " + items + "_by_bucket ON " + items + " (store, bucket);\n" +
           "CREATE INDEX " + items + "_without_bucket ON " + items +
           " (store, item) WHERE bucket = -1;\n" + R"(
    CREATE TABLE inventory_sum (
        store TEXT NOT NULL, bucket INTEGER NOT NULL,
        high INTEGER NOT NULL, low INTEGER NOT NULL, items INTEGER NOT NULL,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (store, bucket)
    ) STRICT, WITHOUT ROWID;
)";
}

SumTable::SumTable(sqlite::Database& database, std::string items)
    : database_(database), items_(std::move(items)) {}

/// SQLite would rather look through the whole store.
std::string SumTable::by_bucket() const {
    return items_ + " INDEXED BY " + items_ + "_by_bucket WHERE store = ? AND bucket = ?";
}

std::vector<SumTable::Bucket>& SumTable::of(const StoreId& store) {
    if (!loaded_) {
        load();
    }
    return buckets_of(store);
}

std::vector<SumTable::Bucket>& SumTable::buckets_of(const StoreId& store) {
    auto& buckets = stores_[store];
    buckets.resize(inventory_buckets);
    return buckets;
}

void SumTable::forget() {
    loaded_ = false;
    passes_.clear();
}

/// Half of it counts for nothing: when anything here fails, the next use begins anew.
void SumTable::load() {
    forget();
    stores_.clear();
    changed_.clear();
    database_.query(
        "SELECT store, bucket, high, low, items, epoch, session, number FROM inventory_sum", {},
        [&](const RowView& row) {
            const auto store = StoreId::parse(row.text(0));
            if (store && row.number(1) < inventory_buckets) {
                buckets_of(*store)[row.number(1)] = {{row.number(2), row.number(3), row.number(4)},
                                                     {row.number(5), row.number(6), row.number(7)}};
            }
            return true;
        });
    fill_in();
    loaded_ = true;
}

void SumTable::fill_in() {
    const std::string some = "SELECT store, item, digest_algorithm, digest FROM " + items_ +
                             " WHERE bucket = -1 LIMIT " + std::to_string(page_items);
    for (bool any = true; any;) {
        any = false;
        database_.transaction([&] {
            std::vector<std::tuple<std::string, std::string, Digest>> page;
            database_.query(some, {}, [&](const RowView& row) {
                page.emplace_back(row.text(0), row.text(1), Digest{row.text(2), row.text(3)});
                return true;
            });
            for (const auto& [name, item, digest] : page) {
                any = true;
                database_.execute(
                    "UPDATE " + items_ + " SET bucket = ? WHERE store = ? AND item = ?",
                    {number(bucket_of(item)), name, Bytes{item}});
                if (const auto store = StoreId::parse(name)) {
                    count(*store, item, {}, digest, {});
                }
            }
            flush();
        });
    }
}

void SumTable::change(const StoreId& store, const std::string& item, const Digest& before,
                      const Digest& after, const Position& at) {
    of(store);
    count(store, item, before, after, at);
}

void SumTable::count(const StoreId& store, const std::string& item, const Digest& before,
                     const Digest& after, const Position& at) {
    const uint32_t number = bucket_of(item);
    Bucket& bucket = buckets_of(store)[number];
    bucket.newest = std::max(bucket.newest, at);
    if (before != after) {
        InventorySum change = counted(item, after);
        change -= counted(item, before);
        bucket.sum += change;
        const auto pass = passes_.find(store);
        if (pass != passes_.end() && item <= pass->second.after) {
            pass->second.sums[number] += change;
        }
    }
    changed_.emplace(store, number);
}

void SumTable::flush() {
    for (const auto& [store, index] : std::exchange(changed_, {})) {
        const Bucket& bucket = buckets_of(store)[index];
        database_.execute(
            "INSERT OR REPLACE INTO inventory_sum VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            {store.to_string(), number(index), number(bucket.sum.high), number(bucket.sum.low),
             number(bucket.sum.items), number(bucket.newest.epoch), number(bucket.newest.session),
             number(bucket.newest.number)});
    }
}

void SumTable::clear(const StoreId& store) {
    stores_.erase(store);
    passes_.erase(store);
    std::erase_if(changed_, [&](const auto& changed) { return changed.first == store; });
    database_.execute("DELETE FROM inventory_sum WHERE store = ?", {store.to_string()});
}

InventorySum SumTable::sum_of_items(const StoreId& store, uint32_t bucket) {
    InventorySum sum;
    database_.query(
        "SELECT item, digest_algorithm, digest FROM " + by_bucket() + " AND digest_algorithm <> ''",
        {store.to_string(), number(bucket)}, [&](const RowView& row) {
            sum += counted(row.text(0), Digest{row.text(1), row.text(2)});
            return true;
        });
    return sum;
}

/// Items that are not where their names belong go there.
void SumTable::put_in_place(const StoreId& store, uint32_t bucket) {
    std::vector<std::string> misplaced;
    database_.query("SELECT item FROM " + by_bucket(), {store.to_string(), number(bucket)},
                    [&](const RowView& row) {
                        if (bucket_of(row.text(0)) != bucket) {
                            misplaced.push_back(row.text(0));
                        }
                        return true;
                    });
    for (const std::string& item : misplaced) {
        database_.execute("UPDATE " + items_ + " SET bucket = ? WHERE store = ? AND item = ?",
                          {number(bucket_of(item)), store.to_string(), Bytes{item}});
        rebuild(store, bucket_of(item));
    }
}

bool SumTable::rebuild(const StoreId& store, uint32_t bucket) {
    put_in_place(store, bucket);
    const InventorySum sum = sum_of_items(store, bucket);
    if (of(store)[bucket].sum == sum) {
        return false;
    }
    of(store)[bucket].sum = sum;
    changed_.emplace(store, bucket);
    passes_.erase(store);
    return true;
}

const std::vector<SumTable::Bucket>& SumTable::buckets(const StoreId& store) {
    return of(store);
}

InventorySum SumTable::total(const StoreId& store) {
    InventorySum total;
    for (const Bucket& bucket : of(store)) {
        total += bucket.sum;
    }
    return total;
}

Position SumTable::newest(const StoreId& store) {
    Position newest;
    for (const Bucket& bucket : of(store)) {
        newest = std::max(newest, bucket.newest);
    }
    return newest;
}

SumTable::Checked SumTable::check(const StoreId& store, size_t most) {
    const std::vector<Bucket>& buckets = of(store);
    Pass& pass = passes_[store];
    pass.sums.resize(inventory_buckets);
    std::vector<std::pair<uint64_t, InventorySum>> found;
    std::string last = pass.after;
    database_.query(
        "SELECT item, digest_algorithm, digest, bucket FROM " + items_ +
            " WHERE store = ? AND item > ? ORDER BY item LIMIT ?",
        {store.to_string(), Bytes{pass.after}, number(most)}, [&](const RowView& row) {
            last = row.text(0);
            found.emplace_back(row.number(3), counted(last, Digest{row.text(1), row.text(2)}));
            return true;
        });
    for (const auto& [bucket, sum] : found) {
        if (bucket < inventory_buckets) {
            pass.sums[bucket] += sum;
        }
    }
    pass.after = last;
    Checked checked{found.size() < most, {}};
    if (checked.ended) {
        for (uint32_t bucket = 0; bucket < inventory_buckets; ++bucket) {
            if (pass.sums[bucket] != buckets[bucket].sum) {
                checked.damaged.push_back(bucket);
            }
        }
        passes_.erase(store);
    }
    return checked;
}

}  // namespace antipode::verify
