#include "primary/inventory.hpp"

#include <map>

#include "primary/inventory_state.hpp"

namespace antipode::primary {
namespace {

const std::vector<std::string>& migrations() {
    static const std::vector<std::string> all = {R"(
    CREATE TABLE published (
        store TEXT NOT NULL,
        item BLOB NOT NULL,
        state BLOB NOT NULL,
        digest_algorithm TEXT NOT NULL,  -- '' = removed
        digest BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        session INTEGER NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX published_by_position ON published (epoch, session, number);
    CREATE TABLE session (last INTEGER NOT NULL) STRICT;
    INSERT INTO session VALUES (0);
)",
                                                 R"(
    CREATE TABLE site (name TEXT PRIMARY KEY, report BLOB NOT NULL) STRICT, WITHOUT ROWID;
)",
                                                 R"(
    CREATE TABLE recorded (
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL
    ) STRICT;
    INSERT INTO recorded VALUES (0, 0, 0);
)",
                                                 R"(
    CREATE TABLE withheld (
        store TEXT NOT NULL,
        item BLOB NOT NULL,
        decision INTEGER NOT NULL,  -- 0 = held, 1 = discarded, 2 = released
        since_us INTEGER NOT NULL,
        happened_after_us INTEGER NOT NULL,
        PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
)",
                                                 R"(
    CREATE TABLE defect (
        store TEXT NOT NULL, item BLOB NOT NULL, reason TEXT NOT NULL, since_us INTEGER NOT NULL,
        PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sweep (
        store TEXT PRIMARY KEY,
        began_us INTEGER NOT NULL,
        after BLOB,
        ended INTEGER NOT NULL,
        complete_since_us INTEGER
    ) STRICT, WITHOUT ROWID;
)",
                                                 R"(
    -- Each published item would change its place in an index; what is looked up by position is
    -- where the newest is, now noted, and what was removed.
    UPDATE recorded SET (epoch, session, number) = (
        SELECT epoch, session, number FROM (
            SELECT epoch, session, number FROM recorded
            UNION ALL SELECT epoch, session, number FROM published
        ) ORDER BY epoch DESC, session DESC, number DESC LIMIT 1);
    DROP INDEX published_by_position;
    CREATE INDEX removed_by_position ON published (epoch, session, number)
        WHERE digest_algorithm = '';
)",
                                                 verify::SumTable::migration("published") + R"(
    CREATE INDEX published_forgotten ON published (store, bucket)
        WHERE digest_algorithm = 'forgotten';
)",
                                                 R"(
    CREATE TABLE unsettled (
        store TEXT NOT NULL, bucket INTEGER NOT NULL, PRIMARY KEY (store, bucket)
    ) STRICT, WITHOUT ROWID;
)",
                                                 R"(
    CREATE TABLE unproven (
        number INTEGER PRIMARY KEY, store TEXT NOT NULL, item BLOB NOT NULL, UNIQUE (store, item)
    ) STRICT;
)"};
    return all;
}

constexpr size_t page_items = 1000;

}  // namespace

Inventory::State::State(const std::filesystem::path& file)
    : database(file, sqlite::Database::Sync::Normal), sums(database, "published") {
    database.migrate(migrations());
    sums.load();
    load_unsettled();
    count_withheld();
    count_defects();
}

void Inventory::State::count_defects() {
    defects.clear();
    database.query("SELECT store, count(*) FROM defect GROUP BY store", {},
                   [&](const RowView& row) {
                       if (const auto store = StoreId::parse(row.text(0))) {
                           defects[*store] = row.number(1);
                       }
                       return true;
                   });
}

void Inventory::State::drop_defect(const StoreId& store, const std::string& item) {
    if (defects.contains(store) &&
        database.execute("DELETE FROM defect WHERE store = ? AND item = ?",
                         {store.to_string(), Bytes{item}}) > 0) {
        count_defects();
    }
}

void Inventory::State::count_withheld() {
    withheld.clear();
    database.query(
        "SELECT store, sum(decision = 0), sum(decision = 1), sum(decision = 2), "
        "min(CASE decision WHEN 0 THEN since_us END), "
        "min(CASE decision WHEN 0 THEN happened_after_us END) FROM withheld GROUP BY store",
        {}, [&](const RowView& row) {
            const auto store = StoreId::parse(row.text(0));
            if (!store) {
                return true;
            }
            WithheldCount& count = withheld[*store];
            count.held = static_cast<uint64_t>(row.integer(1));
            count.discarded = static_cast<uint64_t>(row.integer(2));
            count.released = static_cast<uint64_t>(row.integer(3));
            if (count.held > 0) {
                count.since = from_microseconds(row.integer(4));
                count.happened_after = from_microseconds(row.integer(5));
            }
            return true;
        });
}

void Inventory::State::drop_withheld(const StoreId& store, const std::string& item) {
    const auto found = withheld.find(store);
    if (found == withheld.end()) {
        return;
    }
    database.query("DELETE FROM withheld WHERE store = ? AND item = ? RETURNING decision",
                   {store.to_string(), Bytes{item}}, [&](const RowView& row) {
                       WithheldCount& count = found->second;
                       --(row.integer(0) == 0   ? count.held
                          : row.integer(0) == 1 ? count.discarded
                                                : count.released);
                       return true;
                   });
    if (found->second.held == 0) {
        found->second.since.reset();
        found->second.happened_after.reset();
    }
    if (found->second.none()) {
        withheld.erase(found);
    }
}

void Inventory::State::for_each(
    const StoreId& store, std::string from, const std::string& until,
    const std::function<bool(const std::string& item, const Published&)>& use) {
    for (bool first = true;; first = false) {
        const auto items = page(store, from, first, until);
        for (const auto& [item, published] : items) {
            if (!use(item, published)) {
                return;
            }
        }
        if (items.size() < page_items) {
            return;
        }
        from = items.back().first;
    }
}

std::vector<std::pair<std::string, Published>> Inventory::State::page(const StoreId& store,
                                                                      const std::string& from,
                                                                      bool from_included,
                                                                      const std::string& until) {
    std::scoped_lock lock(mutex);
    std::string sql =
        "SELECT item, state, digest_algorithm, digest FROM published "
        "WHERE store = ? AND digest_algorithm <> '' AND item ";
    sql += from_included ? ">= ?" : "> ?";
    std::vector<sqlite::Value> parameters = {store.to_string(), Bytes{from}};
    if (!until.empty()) {
        sql += " AND item < ?";
        parameters.emplace_back(Bytes{until});
    }
    std::vector<std::pair<std::string, Published>> items;
    database.query(sql + " ORDER BY item LIMIT " + std::to_string(page_items), parameters,
                   [&](const RowView& row) {
                       items.emplace_back(row.text(0), published_of(row, 1));
                       return true;
                   });
    return items;
}

Inventory::Inventory(const std::filesystem::path& file) : state_(std::make_unique<State>(file)) {}
Inventory::~Inventory() = default;

std::optional<Published> Inventory::find(const StoreId& store, const std::string& item) const {
    std::scoped_lock lock(state_->mutex);
    std::optional<Published> found;
    state_->database.query(
        "SELECT state, digest_algorithm, digest FROM published WHERE store = ? AND item = ?",
        {store.to_string(), Bytes{item}}, [&](const RowView& row) {
            found = published_of(row, 0);
            return false;
        });
    return found;
}

Position Inventory::State::recorded_through() {
    Position through;
    database.query("SELECT epoch, session, number FROM recorded", {}, [&](const RowView& row) {
        through = {row.number(0), row.number(1), row.number(2)};
        return false;
    });
    return through;
}

/// Only ever forward: records are made in the order of the stream.
void Inventory::State::set_recorded_through(const Position& position) {
    database.execute(
        "UPDATE recorded SET epoch = ?1, session = ?2, number = ?3 "
        "WHERE (epoch, session, number) < (?1, ?2, ?3)",
        {signed_of(position.epoch), signed_of(position.session), signed_of(position.number)});
}

void Inventory::record(std::span<const Record> records) {
    if (records.empty()) {
        return;
    }
    std::scoped_lock lock(state_->mutex);
    state_->changing_items([&] {
        Position newest;
        for (const Record& record : records) {
            newest = std::max(newest, record.position);
            state_->put(record);
            state_->drop_withheld(record.store, record.item);
            // A file is read whole to be published; of a repository it is what is new.
            if (record.store.kind != StoreKind::Repositories || record.published.removed()) {
                state_->drop_defect(record.store, record.item);
            }
        }
        state_->set_recorded_through(newest);
    });
}

Position Inventory::recorded_through() const {
    std::scoped_lock lock(state_->mutex);
    return state_->recorded_through();
}

void Inventory::set_recorded_through(const Position& position) {
    std::scoped_lock lock(state_->mutex);
    state_->set_recorded_through(position);
}

void Inventory::take_in(std::span<const Record> published) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        Position newest;
        for (const Record& record : published) {
            newest = std::max(newest, record.position);
            state_->database.execute(
                "INSERT INTO published VALUES (?, ?, x'', 'forgotten', x'', ?, ?, ?, ?) "
                "ON CONFLICT (store, item) DO UPDATE SET digest_algorithm = 'forgotten', "
                "epoch = excluded.epoch, session = excluded.session, number = excluded.number "
                "WHERE digest_algorithm = ''",
                {record.store.to_string(), Bytes{record.item}, signed_of(record.position.epoch),
                 signed_of(record.position.session), signed_of(record.position.number),
                 int64_t{verify::bucket_of(record.item)}});
            state_->add_unsettled(record.store, verify::bucket_of(record.item));
        }
        state_->set_recorded_through(newest);
    });
}

void Inventory::for_each(
    const StoreId& store,
    const std::function<bool(const std::string& item, const Published&)>& use) const {
    state_->for_each(store, "", "", use);
}

void Inventory::for_each_below(
    const StoreId& store, const std::string& directory,
    const std::function<bool(const std::string& item, const Published&)>& use) const {
    // '0' follows '/' in the order of bytes.
    state_->for_each(store, directory + '/', directory + '0', use);
}

void Inventory::for_each_after(
    const StoreId& store, const std::optional<std::string>& after,
    const std::function<bool(const std::string& item, const Published&)>& use) const {
    // The next byte string behind a name is the name with a NUL at its end.
    state_->for_each(store, after ? *after + '\0' : "", "", use);
}

uint64_t Inventory::count(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return static_cast<uint64_t>(
        state_->database
            .query_integer(
                "SELECT count(*) FROM published WHERE store = ? AND digest_algorithm <> ''",
                {store.to_string()})
            .value_or(0));
}

uint64_t Inventory::count_up_to(const StoreId& store, uint64_t most) const {
    std::scoped_lock lock(state_->mutex);
    return static_cast<uint64_t>(
        state_->database
            .query_integer("SELECT count(*) FROM (SELECT 1 FROM published WHERE store = ? AND "
                           "digest_algorithm <> '' LIMIT ?)",
                           {store.to_string(), signed_of(most)})
            .value_or(0));
}

void Inventory::withhold(const StoreId& store, std::span<const Withheld> items, TimePoint now) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const Withheld& withheld : items) {
            state_->database.execute("INSERT OR IGNORE INTO withheld VALUES (?, ?, 0, ?, ?)",
                                     {store.to_string(), Bytes{withheld.item}, to_microseconds(now),
                                      to_microseconds(withheld.happened_after)});
        }
    });
    state_->count_withheld();
}

std::optional<Inventory::Decision> Inventory::decision(const StoreId& store,
                                                       const std::string& item) const {
    std::scoped_lock lock(state_->mutex);
    if (!state_->withheld.contains(store)) {
        return std::nullopt;
    }
    const auto found =
        state_->database.query_integer("SELECT decision FROM withheld WHERE store = ? AND item = ?",
                                       {store.to_string(), Bytes{item}});
    return found ? std::optional(static_cast<Decision>(*found)) : std::nullopt;
}

uint64_t Inventory::State::decide(const StoreId& store, Decision from, Decision to) {
    std::scoped_lock lock(mutex);
    const int count =
        database.execute("UPDATE withheld SET decision = ? WHERE store = ? AND decision = ?",
                         {static_cast<int64_t>(to), store.to_string(), static_cast<int64_t>(from)});
    count_withheld();
    return static_cast<uint64_t>(count);
}

uint64_t Inventory::decide(const StoreId& store, Decision decision) {
    return state_->decide(store, Decision::Held, decision);
}

uint64_t Inventory::release_discarded(const StoreId& store) {
    return state_->decide(store, Decision::Discarded, Decision::Released);
}

Inventory::WithheldCount Inventory::withheld(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    const auto found = state_->withheld.find(store);
    return found == state_->withheld.end() ? WithheldCount{} : found->second;
}

void Inventory::for_each_withheld(const StoreId& store, Decision decision,
                                  const std::function<bool(const Withheld&)>& use) const {
    std::scoped_lock lock(state_->mutex);
    if (!state_->withheld.contains(store)) {
        return;
    }
    state_->database.query(
        "SELECT item, happened_after_us, since_us FROM withheld WHERE store = ? AND decision = ? "
        "ORDER BY item",
        {store.to_string(), static_cast<int64_t>(decision)}, [&](const RowView& row) {
            return use({row.text(0), from_microseconds(row.integer(1)),
                        from_microseconds(row.integer(2))});
        });
}

void Inventory::forget_withheld(const StoreId& store, std::span<const std::string> items) {
    std::scoped_lock lock(state_->mutex);
    if (!state_->withheld.contains(store)) {
        return;
    }
    state_->database.transaction([&] {
        for (const std::string& item : items) {
            state_->drop_withheld(store, item);
        }
    });
}

bool Inventory::note_defect(const StoreId& store, const Defect& defect) {
    std::scoped_lock lock(state_->mutex);
    const bool fresh = state_->database.execute("INSERT OR IGNORE INTO defect VALUES (?, ?, ?, ?)",
                                                {store.to_string(), Bytes{defect.item},
                                                 defect.reason, to_microseconds(defect.since)}) > 0;
    state_->count_defects();
    return fresh;
}

void Inventory::clear_defect(const StoreId& store, const std::string& item) {
    std::scoped_lock lock(state_->mutex);
    state_->drop_defect(store, item);
}

uint64_t Inventory::defect_count(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    const auto found = state_->defects.find(store);
    return found == state_->defects.end() ? 0 : found->second;
}

std::vector<Inventory::Defect> Inventory::defects(const StoreId& store, size_t most) const {
    std::scoped_lock lock(state_->mutex);
    std::vector<Defect> defects;
    if (state_->defects.contains(store)) {
        state_->database.query(
            "SELECT item, reason, since_us FROM defect WHERE store = ? ORDER BY item LIMIT ?",
            {store.to_string(), static_cast<int64_t>(most)}, [&](const RowView& row) {
                defects.push_back({row.text(0), row.text(1), from_microseconds(row.integer(2))});
                return true;
            });
    }
    return defects;
}

Inventory::SweepPlace Inventory::sweep_place(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    SweepPlace place;
    state_->database.query(
        "SELECT began_us, after, ended, complete_since_us FROM sweep WHERE store = ?",
        {store.to_string()}, [&](const RowView& row) {
            place.began = from_microseconds(row.integer(0));
            place.after = row.is_null(1) ? std::nullopt : std::optional(row.text(1));
            place.ended = row.integer(2) != 0;
            if (!row.is_null(3)) {
                place.complete_since = from_microseconds(row.integer(3));
            }
            return false;
        });
    return place;
}

void Inventory::set_sweep_place(const StoreId& store, const SweepPlace& place) {
    using sqlite::Value;
    std::scoped_lock lock(state_->mutex);
    state_->database.execute(
        "INSERT OR REPLACE INTO sweep VALUES (?, ?, ?, ?, ?)",
        {store.to_string(), to_microseconds(place.began),
         place.after ? Value(Bytes{*place.after}) : Value(nullptr), int64_t{place.ended ? 1 : 0},
         place.complete_since ? Value(to_microseconds(*place.complete_since)) : Value(nullptr)});
}

void Inventory::add_unproven(const StoreId& store, std::span<const std::string> items) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const std::string& item : items) {
            state_->database.execute("INSERT OR IGNORE INTO unproven (store, item) VALUES (?, ?)",
                                     {store.to_string(), Bytes{item}});
        }
    });
}

void Inventory::proven(const StoreId& store, const std::string& item) {
    std::scoped_lock lock(state_->mutex);
    state_->database.execute("DELETE FROM unproven WHERE store = ? AND item = ?",
                             {store.to_string(), Bytes{item}});
}

std::vector<std::string> Inventory::unproven(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    std::vector<std::string> items;
    state_->database.query("SELECT item FROM unproven WHERE store = ? ORDER BY number",
                           {store.to_string()}, [&](const RowView& row) {
                               items.push_back(row.text(0));
                               return true;
                           });
    return items;
}

void Inventory::forget_after(const Position& safe) {
    std::scoped_lock lock(state_->mutex);
    if (state_->recorded_through() <= safe) {
        return;
    }
    // The rows stay, as items whose state nobody knows: a reconcile publishes those on disk whole,
    // and the removal of those that are not.
    state_->changing_items([&] {
        std::set<std::pair<std::string, uint32_t>> buckets;
        state_->database.query(
            "UPDATE published SET state = x'', digest_algorithm = 'forgotten', digest = x'' "
            "WHERE (epoch, session, number) > (?, ?, ?) RETURNING store, bucket",
            {signed_of(safe.epoch), signed_of(safe.session), signed_of(safe.number)},
            [&](const RowView& row) {
                buckets.emplace(row.text(0), static_cast<uint32_t>(row.number(1)));
                return true;
            });
        for (const auto& [name, bucket] : buckets) {
            if (const auto store = StoreId::parse(name)) {
                state_->sums.rebuild(*store, bucket);
            }
        }
    });
}

void Inventory::drop_removed_through(const Position& safe) {
    std::scoped_lock lock(state_->mutex);
    state_->database.execute(
        "DELETE FROM published WHERE digest_algorithm = '' "
        "AND (epoch, session, number) <= (?, ?, ?)",
        {signed_of(safe.epoch), signed_of(safe.session), signed_of(safe.number)});
}

void Inventory::clear() {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const char* table : {"published", "inventory_sum", "unsettled", "withheld", "defect",
                                  "sweep", "site", "unproven"}) {
            state_->database.execute(std::string("DELETE FROM ") + table);
        }
    });
    state_->sums.forget();
    state_->unsettled.clear();
    state_->count_withheld();
    state_->count_defects();
}

std::map<std::string, std::string> Inventory::sites() const {
    std::scoped_lock lock(state_->mutex);
    std::map<std::string, std::string> sites;
    state_->database.query("SELECT name, report FROM site", {}, [&](const RowView& row) {
        sites[row.text(0)] = row.text(1);
        return true;
    });
    return sites;
}

void Inventory::remember_sites(const std::map<std::string, std::string>& reports) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        state_->database.execute("DELETE FROM site");
        for (const auto& [name, report] : reports) {
            state_->database.execute("INSERT INTO site VALUES (?, ?)", {name, Bytes{report}});
        }
    });
}

uint64_t Inventory::last_session() const {
    std::scoped_lock lock(state_->mutex);
    return static_cast<uint64_t>(
        state_->database.query_integer("SELECT last FROM session").value_or(0));
}

uint64_t Inventory::next_session(uint64_t at_least) {
    std::scoped_lock lock(state_->mutex);
    state_->database.execute("UPDATE session SET last = max(last + 1, ?)", {signed_of(at_least)});
    return static_cast<uint64_t>(
        state_->database.query_integer("SELECT last FROM session").value_or(0));
}

}  // namespace antipode::primary
