#include "primary/inventory_state.hpp"

/// Sums of what was published.
namespace antipode::primary {

void Inventory::State::changing_items(const std::function<void()>& body) {
    try {
        database.transaction([&] {
            body();
            sums.flush();
        });
    } catch (...) {
        sums.forget();  // what is in memory was not rolled back
        throw;
    }
}

void Inventory::State::put(const Record& record) {
    const std::string store = record.store.to_string();
    const Digest& digest = record.published.digest;
    Digest before;
    database.query("SELECT digest_algorithm, digest FROM published WHERE store = ? AND item = ?",
                   {store, Bytes{record.item}}, [&](const RowView& row) {
                       before = {row.text(0), row.text(1)};
                       return false;
                   });
    sums.change(record.store, record.item, before, digest, record.position);
    database.execute(
        "INSERT INTO published VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (store, item) DO "
        "UPDATE SET state = excluded.state, digest_algorithm = excluded.digest_algorithm, "
        "digest = excluded.digest, epoch = excluded.epoch, session = excluded.session, "
        "number = excluded.number",
        {store, Bytes{record.item}, Bytes{record.published.state}, digest.algorithm,
         Bytes{digest.value}, signed_of(record.position.epoch), signed_of(record.position.session),
         signed_of(record.position.number), int64_t{verify::bucket_of(record.item)}});
}

void Inventory::State::load_unsettled() {
    database.query("SELECT store, bucket FROM unsettled", {}, [&](const RowView& row) {
        if (const auto store = StoreId::parse(row.text(0))) {
            unsettled[*store].insert(static_cast<uint32_t>(row.number(1)));
        }
        return true;
    });
}

/// In the transaction that says that everything up to there is recorded: the next start would not
/// look for it again.
void Inventory::State::add_unsettled(const StoreId& store, uint32_t bucket) {
    unsettled[store].insert(bucket);
    database.execute("INSERT OR IGNORE INTO unsettled VALUES (?, ?)",
                     {store.to_string(), int64_t{bucket}});
}

std::set<uint32_t> Inventory::State::unsure(const StoreId& store) {
    const auto found = unsettled.find(store);
    std::set<uint32_t> buckets = found == unsettled.end() ? std::set<uint32_t>{} : found->second;
    database.query(
        "SELECT DISTINCT bucket FROM published WHERE store = ? AND digest_algorithm = 'forgotten'",
        {store.to_string()}, [&](const RowView& row) {
            buckets.insert(static_cast<uint32_t>(row.number(0)));
            return true;
        });
    return buckets;
}

verify::SumsAnswer Inventory::sums(const StoreId& store,
                                   const std::optional<verify::InventorySum>& known) const {
    std::scoped_lock lock(state_->mutex);
    verify::SumsAnswer answer{state_->recorded_through(), false, {}, {}};
    const auto unsure = state_->unsure(store);
    if (unsure.empty() && known && *known == state_->sums.total(store)) {
        answer.equal = true;
        return answer;
    }
    answer.unsure.assign(unsure.begin(), unsure.end());
    const auto& buckets = state_->sums.buckets(store);
    for (uint32_t bucket = 0; bucket < buckets.size(); ++bucket) {
        if (buckets[bucket].sum != verify::InventorySum{} && !unsure.contains(bucket)) {
            answer.buckets[bucket] = buckets[bucket].sum;
        }
    }
    return answer;
}

Inventory::BucketItems Inventory::items_in(const StoreId& store,
                                           const std::vector<uint32_t>& buckets) const {
    std::scoped_lock lock(state_->mutex);
    BucketItems answer{state_->recorded_through(), {}, {}};
    const auto unsure = state_->unsure(store);
    for (const uint32_t bucket : buckets) {
        if (unsure.contains(bucket)) {
            answer.unsure.push_back(bucket);
            continue;
        }
        state_->database.query(
            "SELECT item, digest_algorithm, digest FROM published "
            "INDEXED BY published_by_bucket WHERE store = ? AND bucket = ? AND digest_algorithm <> "
            "''",
            {store.to_string(), int64_t{bucket}}, [&](const RowView& row) {
                answer.items.emplace_back(row.text(0), Digest{row.text(1), row.text(2)});
                return true;
            });
    }
    return answer;
}

void Inventory::settled(const StoreId& store) {
    std::scoped_lock lock(state_->mutex);
    if (state_->unsettled.contains(store)) {
        state_->database.execute("DELETE FROM unsettled WHERE store = ?", {store.to_string()});
        state_->unsettled.erase(store);
    }
}

Inventory::Corrected Inventory::correct_sums(const StoreId& store, size_t most) {
    std::scoped_lock lock(state_->mutex);
    const auto checked = state_->sums.check(store, most);
    if (!checked.damaged.empty()) {
        state_->changing_items([&] {
            for (const uint32_t bucket : checked.damaged) {
                state_->sums.rebuild(store, bucket);
            }
        });
    }
    return {checked.ended, checked.damaged.size()};
}

}  // namespace antipode::primary
