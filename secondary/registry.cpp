#include "secondary/registry.hpp"

#include <algorithm>
#include <limits>

#include "base/backoff.hpp"
#include "secondary/registry_state.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::hours a_day(24);
constexpr uint64_t most_findings = 100'000;
constexpr std::chrono::milliseconds first_delay(1000);
constexpr std::chrono::milliseconds slowest_delay(a_day);
const char* const disk_remedy = "look at this machine's disk and memory: dmesg, smartctl -a";

int64_t microseconds_of(std::chrono::microseconds duration) {
    return duration.count();
}

}  // namespace

std::string_view to_string(ExceptionKind kind) {
    switch (kind) {
        case ExceptionKind::Parked:
            return "parked";
        case ExceptionKind::Expired:
            return "expired";
        case ExceptionKind::Mended:
            return "mended";
    }
    return "?";
}

Registry::Registry(const std::filesystem::path& file, const Clock& clock)
    : state_(std::make_unique<State>(file, clock)) {}
Registry::~Registry() = default;

void Registry::record(const StoreId& store, std::span<const Outcome> outcomes,
                      const Position& finished) {
    std::scoped_lock lock(state_->mutex);
    state_->changing_items([&] {
        const std::string of_store = "SELECT 1 FROM exception WHERE store = ? LIMIT 1";
        const bool any_exception = state_->count(of_store, {store.to_string()}) > 0;
        for (const Outcome& outcome : outcomes) {
            if (outcome.applied) {
                state_->set_item(store, outcome);
                if (any_exception && outcome.mends) {
                    state_->mend(store, outcome.item, outcome.fulfilled, outcome.position);
                }
            } else if (outcome.parked) {
                state_->add_exception(*outcome.parked);
            }
        }
        state_->set_finished(store, finished);
    });
}

std::optional<ItemState> Registry::find(const StoreId& store, const std::string& item) const {
    std::scoped_lock lock(state_->mutex);
    return state_->find(store, item);
}

std::vector<std::string> Registry::with_content(const StoreId& store, const Digest& digest,
                                                size_t most) const {
    return state_->items(
        "SELECT item FROM item INDEXED BY item_by_content WHERE store = ? AND digest = ? AND " +
            is_large_file() + " LIMIT ?",
        {store.to_string(), Bytes{digest.value}, number(most)});
}

uint64_t Registry::count(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->count("SELECT items FROM item_count WHERE store = ?", {store.to_string()});
}

void Registry::for_each(
    const StoreId& store,
    const std::function<void(const std::string& item, const ItemState&)>& use) const {
    std::scoped_lock lock(state_->mutex);
    state_->database.query(
        "SELECT item, digest_algorithm, digest, epoch, session, number FROM item "
        "WHERE store = ? AND digest_algorithm <> '' ORDER BY item",
        {store.to_string()}, [&](const RowView& row) {
            use(row.text(0), {Digest{row.text(1), row.text(2)}, position_at(row, 3)});
            return true;
        });
}

/// Counts, and returns how often it was within a day.
unsigned Registry::State::count_finding(const StoreId& store, const std::string& item) {
    const int64_t now = to_microseconds(clock.now());
    const std::vector<Value> key = {store.to_string(), Bytes{item}};
    database.execute("DELETE FROM found WHERE last_us < ?", {now - microseconds_of(a_day)});
    const bool full =
        database.query_integer("SELECT 1 FROM found LIMIT 1 OFFSET ?", {number(most_findings)})
            .has_value();
    const std::string counted =
        "SET times = iif(found.first_us < ?4, 1, found.times + 1), "
        "first_us = iif(found.first_us < ?4, ?3, found.first_us), last_us = ?3";
    database.execute(full ? "UPDATE found " + counted + " WHERE store = ?1 AND item = ?2"
                          : "INSERT INTO found VALUES (?1, ?2, 1, ?3, ?3) "
                            "ON CONFLICT (store, item) DO UPDATE " +
                                counted,
                     {key[0], key[1], now, now - microseconds_of(a_day)});
    return static_cast<unsigned>(
        count("SELECT coalesce(sum(times), 1) FROM found WHERE store = ? AND item = ?", key));
}

void Registry::differs(Exception exception, FoundBy by) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        const std::string store = exception.store.to_string();
        const unsigned times = state_->count_finding(exception.store, exception.item);
        // What inventories tell was lost on the way here perhaps, again and again.
        const unsigned at_once = by == FoundBy::Reading ? 1 : alarming_times;
        if (times > at_once) {
            exception.next_try += Backoff::after(times - at_once + 1, first_delay, slowest_delay);
        }
        if (times >= alarming_times) {
            exception.reason += "; that is time " + std::to_string(times) + " within a day";
            exception.next_step = disk_remedy;
        }
        state_->add_exception(exception);
        state_->database.execute("UPDATE item SET looked_us = 0 WHERE store = ? AND item = ?",
                                 {store, Bytes{exception.item}});
        state_->count_up(differing_fact + store);
        if (by == FoundBy::Inventories) {
            state_->count_up(differing_by_inventory_fact + store);
        }
    });
}

Registry::Repeated Registry::repeated(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    Repeated repeated;
    state_->database.query(
        "SELECT count(*), item, max(times) FROM found INDEXED BY found_by_times "
        "WHERE store = ? AND times >= ? AND last_us > ?",
        {store.to_string(), int64_t{alarming_times}, to_microseconds(state_->clock.now() - a_day)},
        [&](const RowView& row) {
            repeated = {row.number(0), row.text(1), row.number(2)};
            return false;
        });
    return repeated;
}

uint64_t Registry::found_by_reading(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->counted(differing_fact + store.to_string()) -
           state_->counted(differing_by_inventory_fact + store.to_string());
}

uint64_t Registry::found_differing(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->counted(differing_fact + store.to_string());
}

uint64_t Registry::looks_asked(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->counted(asked_fact + store.to_string());
}

void Registry::begin_looks(const StoreId& store) {
    std::scoped_lock lock(state_->mutex);
    state_->looking.erase(store);
}

void Registry::begin_look(const StoreId& store, const std::string& item) {
    std::scoped_lock lock(state_->mutex);
    state_->looking[store][item] = false;
}

bool Registry::is_being_looked_at(const StoreId& store, const std::string& item) const {
    std::scoped_lock lock(state_->mutex);
    const auto looking = state_->looking.find(store);
    if (looking == state_->looking.end()) {
        return false;
    }
    const auto found = looking->second.find(item);
    return found != looking->second.end() && !found->second;
}

void Registry::looked_at(const StoreId& store, std::span<const Looked> items) {
    if (items.empty()) {
        return;
    }
    const TimePoint now = state_->clock.now();
    std::scoped_lock lock(state_->mutex);
    auto& looking = state_->looking[store];
    state_->database.transaction([&] {
        for (const Looked& looked : items) {
            const auto asked = looking.find(looked.item);
            if (asked != looking.end() && asked->second) {
                continue;  // what changed since then may not be what was read
            }
            state_->database.execute(
                "UPDATE item SET looked_us = ?, unproven_us = iif(unproven_us = ?, 0, unproven_us) "
                "WHERE store = ? AND item = ?",
                {to_microseconds(now),
                 looked.unproven_since ? to_microseconds(*looked.unproven_since) : int64_t{0},
                 store.to_string(), Bytes{looked.item}});
        }
    });
    for (const Looked& looked : items) {
        looking.erase(looked.item);
    }
}

std::vector<std::string> Registry::due_for_look(const StoreId& store, TimePoint since,
                                                size_t most) const {
    auto due = state_->items(
        "SELECT item FROM item INDEXED BY item_unproven WHERE store = ? AND "
        "unproven_us <> 0 AND " +
            State::is_no_exception + " ORDER BY unproven_us LIMIT ?",
        {store.to_string(), number(most)});
    const auto others = state_->items(
        "SELECT item FROM item INDEXED BY item_by_look WHERE store = ? AND digest_algorithm <> '' "
        "AND looked_us <= ? AND unproven_us = 0 AND " +
            State::is_no_exception + " ORDER BY looked_us LIMIT ?",
        {store.to_string(), to_microseconds(since), number(most - due.size())});
    due.insert(due.end(), others.begin(), others.end());
    return due;
}

uint64_t Registry::unproven(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->count(
        "SELECT count(*) FROM item INDEXED BY item_unproven WHERE store = ? AND unproven_us <> 0",
        {store.to_string()});
}

std::vector<std::string> Registry::unproven_items(const StoreId& store) const {
    return state_->items(
        "SELECT item FROM item INDEXED BY item_unproven WHERE store = ? AND unproven_us <> 0 "
        "ORDER BY unproven_us",
        {store.to_string()});
}

uint64_t Registry::ask_for_look(const StoreId& store, const std::optional<std::string>& item) {
    std::scoped_lock lock(state_->mutex);
    const std::string of = " WHERE store = ? AND digest_algorithm <> ''";
    state_->ask_again(store, item);
    if (!item) {
        state_->database.transaction([&] {
            state_->database.execute("UPDATE item SET looked_us = 0" + of, {store.to_string()});
            state_->count_up(asked_fact + store.to_string());
        });
        return state_->count("SELECT count(*) FROM item" + of, {store.to_string()});
    }
    state_->database.execute("UPDATE item SET looked_us = 0" + of + " AND item = ?",
                             {store.to_string(), Bytes{*item}});
    return state_->count("SELECT count(*) FROM item" + of + " AND item = ?",
                         {store.to_string(), Bytes{*item}});
}

void Registry::ask_for_looks(const StoreId& store, const std::vector<std::string>& items) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const std::string& item : items) {
            state_->ask_again(store, item);
            state_->database.execute(
                "UPDATE item SET looked_us = 0 "
                "WHERE store = ? AND digest_algorithm <> '' AND item = ?",
                {store.to_string(), Bytes{item}});
        }
    });
}

Registry::Looks Registry::looks(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    Looks looks;
    const std::string asked =
        "SELECT count(*) FROM item INDEXED BY item_by_look WHERE store = ? AND "
        "digest_algorithm <> '' AND looked_us = 0";
    looks.failing = state_->count(asked, {store.to_string()});
    looks.asked = state_->count(asked + " AND " + State::is_no_exception, {store.to_string()});
    looks.failing -= looks.asked;
    if (looks.failing > 0) {
        looks.failing_since = state_->failing_since(store);
    }
    const int64_t oldest = state_->database
                               .query_integer(
                                   "SELECT min(looked_us) FROM item INDEXED BY item_by_look WHERE "
                                   "store = ? AND digest_algorithm <> ''",
                                   {store.to_string()})
                               .value_or(0);
    if (oldest > 1) {
        looks.oldest = from_microseconds(oldest);
    }
    return looks;
}

const std::map<StoreId, Registry::LanePosition>& Registry::State::read_lanes() const {
    if (!lanes) {
        std::map<StoreId, LanePosition> read;
        database.query(
            "SELECT epoch, session, number, transaction_epoch, transaction_session, "
            "transaction_number, store FROM lane",
            {}, [&](const RowView& row) {
                read[StoreId::parse(row.text(6)).value_or(StoreId{})] = {position_at(row, 0),
                                                                         position_at(row, 3)};
                return true;
            });
        lanes = std::move(read);
    }
    return *lanes;
}

Registry::LanePosition Registry::lane(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    const auto& lanes = state_->read_lanes();
    const auto known = lanes.find(store);
    return known == lanes.end() ? LanePosition{} : known->second;
}

void Registry::set_lane(const StoreId& store, const LanePosition& position) {
    std::scoped_lock lock(state_->mutex);
    state_->set_lane(store, position);
}

void Registry::set_lanes(const std::map<StoreId, LanePosition>& positions,
                         const std::map<std::string, std::string>& facts) {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const auto& [store, position] : positions) {
            state_->set_lane(store, position);
        }
        for (const auto& [name, value] : facts) {
            state_->set_fact(name, value);
        }
    });
}

void Registry::add_exception(const Exception& exception) {
    std::scoped_lock lock(state_->mutex);
    state_->add_exception(exception);
}

void Registry::mend_whole_store(const StoreId& store, const Position& open_from,
                                const Position& by) {
    std::scoped_lock lock(state_->mutex);
    Position before = open_from;
    --before.number;
    state_->mend(store, protocol::whole_store, before, by);
}

void Registry::remove_mended(const std::optional<Position>& rows,
                             const std::map<StoreId, Position>& finished) {
    std::scoped_lock lock(state_->mutex);
    if (!state_->database.query_integer("SELECT 1 FROM exception WHERE kind = ? LIMIT 1",
                                        {mended})) {
        return;
    }
    constexpr uint64_t infinite = std::numeric_limits<int64_t>::max();
    const Position end = rows.value_or(Position{infinite, infinite, infinite});
    const std::string before = "(mended_epoch, mended_session, mended_number) < (?, ?, ?)";
    const std::string these = "DELETE FROM exception WHERE kind = ? AND " + before;
    state_->database.execute(these + " AND item <> x''",
                             {mended, number(end.epoch), number(end.session), number(end.number)});
    for (const auto& [store, position] : finished) {
        const Position both = std::min(end, position);
        state_->database.execute(these + " AND item = x'' AND store = ?",
                                 {mended, number(both.epoch), number(both.session),
                                  number(both.number), store.to_string()});
    }
}

std::vector<Exception> Registry::exceptions(size_t most) const {
    std::scoped_lock lock(state_->mutex);
    std::vector<Exception> exceptions;
    state_->database.query(
        "SELECT " + exception_columns + " FROM exception ORDER BY epoch, session, number LIMIT ?",
        {number(most)}, [&](const RowView& row) {
            exceptions.push_back(exception_of(row));
            return true;
        });
    return exceptions;
}

std::vector<Exception> Registry::due(TimePoint now, size_t most) const {
    std::scoped_lock lock(state_->mutex);
    std::vector<Exception> exceptions;
    state_->database.query(
        "SELECT " + exception_columns +
            " FROM exception WHERE next_try_us <= ? AND kind <> ? AND item <> x'' "
            "ORDER BY next_try_us LIMIT ?",
        {to_microseconds(now), mended, number(most)}, [&](const RowView& row) {
            exceptions.push_back(exception_of(row));
            return true;
        });
    return exceptions;
}

void Registry::tried(const StoreId& store, const std::string& item, TimePoint next_try) {
    std::scoped_lock lock(state_->mutex);
    state_->database.execute(
        "UPDATE exception SET tries = tries + 1, next_try_us = ? "
        "WHERE store = ? AND item = ? AND past = 0",
        {to_microseconds(next_try), store.to_string(), Bytes{item}});
}

void Registry::compare_anew(const StoreId& store, TimePoint now) {
    const auto known = gap(store);
    Position at = std::max(lane(store).finished, known ? known->at : Position{});
    ++at.number;  // what was compared for an earlier gap mends nothing of this one
    set_gap(store, at, now);
    std::scoped_lock lock(state_->mutex);
    state_->changing_items([&] {
        state_->database.execute("DELETE FROM item WHERE store = ?", {store.to_string()});
        state_->sums.clear(store);
    });
}

uint64_t Registry::try_now(const StoreId& store, TimePoint now,
                           const std::optional<std::string>& item) {
    std::scoped_lock lock(state_->mutex);
    const std::string of = " WHERE store = ?1 AND kind <> ?2 AND item <> x''" +
                           std::string(item ? " AND item = ?3" : " AND ?3 = x''");
    const std::vector<Value> these = {store.to_string(), mended, Bytes{item.value_or("")}};
    std::vector<Value> parameters = these;
    parameters.emplace_back(to_microseconds(now));
    state_->database.execute("UPDATE exception SET next_try_us = ?4" + of, parameters);
    return state_->count("SELECT count(*) FROM exception" + of, these);
}

uint64_t Registry::exception_count(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    return state_->count("SELECT count(*) FROM exception WHERE store = ? AND kind <> ?",
                         {store.to_string(), mended});
}

bool Registry::is_exception(const StoreId& store, const std::string& item) const {
    const char* const sql = "SELECT item FROM exception WHERE store = ? AND item = ?";
    return !state_->items(sql, {store.to_string(), Bytes{item}}).empty();
}

bool Registry::is_awaited(const StoreId& store, const std::string& item) const {
    const char* const sql = "SELECT item FROM exception WHERE store = ? AND item = ? AND kind <> ?";
    return !state_->items(sql, {store.to_string(), Bytes{item}, mended}).empty();
}

bool Registry::may_be_damaged(const StoreId& store, const std::string& item) const {
    const char* const sql =
        "SELECT item FROM exception WHERE store = ? AND item = ? AND kind = ? AND failure <> ?";
    return !state_
                ->items(sql, {store.to_string(), Bytes{item},
                              static_cast<int64_t>(ExceptionKind::Parked),
                              static_cast<int64_t>(FailureClass::PrimaryDefect)})
                .empty();
}

std::optional<Position> Registry::oldest_exception() const {
    std::scoped_lock lock(state_->mutex);
    if (!state_->read_gaps().empty()) {
        return Position{};
    }
    std::optional<Position> oldest;
    state_->database.query(
        "SELECT epoch, session, number FROM exception ORDER BY epoch, session, number LIMIT 1", {},
        [&](const RowView& row) {
            oldest = position_at(row, 0);
            return false;
        });
    return oldest;
}

void Registry::set_gap(const StoreId& store, const Position& at, TimePoint now) {
    std::scoped_lock lock(state_->mutex);
    state_->gaps.reset();
    state_->database.execute(
        "INSERT INTO gap (store, epoch, session, number, since_us, rows_epoch, rows_session, "
        "rows_number) VALUES (?1, ?2, ?3, ?4, ?5, ?2, ?3, ?4) "
        "ON CONFLICT (store) DO UPDATE SET epoch = excluded.epoch, session = excluded.session, "
        "number = excluded.number, passed = 0, rows_wait = 1, "
        "rows_epoch = iif(rows_wait, rows_epoch, excluded.rows_epoch), "
        "rows_session = iif(rows_wait, rows_session, excluded.rows_session), "
        "rows_number = iif(rows_wait, rows_number, excluded.rows_number) "
        "WHERE (excluded.epoch, excluded.session, excluded.number) > (epoch, session, number)",
        {store.to_string(), number(at.epoch), number(at.session), number(at.number),
         to_microseconds(now)});
    // Before the gap that is open: what stood between the two was lost since that was found.
    state_->let_rows_wait_from(store, at);
}

const std::map<StoreId, Registry::Gap>& Registry::State::read_gaps() const {
    if (!gaps) {
        std::map<StoreId, Gap> read;
        database.query(
            "SELECT epoch, session, number, since_us, passed, rows_wait, rows_epoch, "
            "rows_session, rows_number, rows_came, store FROM gap",
            {}, [&](const RowView& row) {
                read[StoreId::parse(row.text(10)).value_or(StoreId{})] =
                    Gap{position_at(row, 0), from_microseconds(row.integer(3)),
                        row.integer(4) != 0, row.integer(5) != 0,
                        position_at(row, 6), row.integer(9) != 0};
                return true;
            });
        gaps = std::move(read);
    }
    return *gaps;
}

std::optional<Registry::Gap> Registry::gap(const StoreId& store) const {
    std::scoped_lock lock(state_->mutex);
    const auto& gaps = state_->read_gaps();
    const auto known = gaps.find(store);
    return known == gaps.end() ? std::nullopt : std::optional(known->second);
}

void Registry::set_gap_passed(const StoreId& store, const Position& at) {
    state_->change_gap("UPDATE gap SET passed = 1", store, at);
}

void Registry::let_rows_wait_from(const StoreId& store, const Position& from) {
    std::scoped_lock lock(state_->mutex);
    state_->let_rows_wait_from(store, from);
}

void Registry::let_rows_pass(const StoreId& store, const Position& at) {
    state_->change_gap("UPDATE gap SET rows_wait = 0, rows_came = 1", store, at);
}

void Registry::mend_gap(const StoreId& store, const Position& at) {
    state_->change_gap("DELETE FROM gap", store, at);
}

void Registry::clear() {
    std::scoped_lock lock(state_->mutex);
    state_->database.transaction([&] {
        for (const char* table :
             {"lane", "item", "exception", "gap", "fact", "found", "inventory_sum"}) {
            state_->database.execute(std::string("DELETE FROM ") + table);
        }
    });
    state_->sums.forget();
    state_->gaps.reset();
    state_->lanes.reset();
}

void Registry::set_fact(const std::string& name, const std::string& value) {
    std::scoped_lock lock(state_->mutex);
    state_->set_fact(name, value);
}

void Registry::forget_fact(const std::string& name) {
    std::scoped_lock lock(state_->mutex);
    state_->database.execute("DELETE FROM fact WHERE name = ?", {name});
}

std::optional<std::string> Registry::fact(const std::string& name) const {
    std::scoped_lock lock(state_->mutex);
    std::optional<std::string> value;
    state_->database.query("SELECT value FROM fact WHERE name = ?", {name},
                           [&](const RowView& row) {
                               value = row.text(0);
                               return false;
                           });
    return value;
}

}  // namespace antipode::secondary
