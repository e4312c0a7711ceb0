#pragma once

#include <map>
#include <mutex>

#include "adapters/sqlite/database.hpp"
#include "secondary/registry.hpp"
#include "secondary/registry_schema.hpp"
#include "verify/sum_table.hpp"

/// What the parts of the registry share; nobody else includes it.
namespace antipode::secondary {

using sqlite::Bytes;
using sqlite::RowView;
using sqlite::Value;

inline const std::string differing_fact = "found differing ";  ///< however it was found
inline const std::string differing_by_inventory_fact = "found by inventories ";
inline const std::string asked_fact = "looks asked ";

inline constexpr auto mended = static_cast<int64_t>(ExceptionKind::Mended);

/// So many times that an item was wrong are kept apart; the newest one lasts longer then.
inline constexpr uint64_t most_past = 8;

inline Value number(uint64_t value) {
    return static_cast<int64_t>(value);
}

inline Position position_at(const RowView& row, int column) {
    return {row.number(column), row.number(column + 1), row.number(column + 2)};
}

template <typename Number>
Value or_null(const std::optional<Number>& value) {
    return value ? Value(static_cast<int64_t>(*value)) : Value(nullptr);
}

/// 0 and 1 stand for what is not known.
inline std::optional<TimePoint> known_time(int64_t microseconds) {
    return microseconds > 1 ? std::optional(from_microseconds(microseconds)) : std::nullopt;
}

/// "digest_algorithm, digest, epoch, session, number, mode, mtime_s, unproven_us"
inline ItemState item_state_of(const RowView& row) {
    ItemState state{Digest{row.text(0), row.text(1)}, position_at(row, 2)};
    if (!row.is_null(5)) {
        state.attributes.mode = static_cast<uint32_t>(row.integer(5));
    }
    if (!row.is_null(6)) {
        state.attributes.mtime_s = row.integer(6);
    }
    state.unproven_since = known_time(row.integer(7));
    return state;
}

inline const std::string exception_columns =
    "store, item, kind, failure, reason, next_step, epoch, session, number, since_us, tries, "
    "next_try_us";

inline Exception exception_of(const RowView& row) {
    Exception exception;
    exception.store = StoreId::parse(row.text(0)).value_or(StoreId{});
    exception.item = row.text(1);
    exception.kind = static_cast<ExceptionKind>(row.integer(2));
    exception.failure = static_cast<FailureClass>(row.integer(3));
    exception.reason = row.text(4);
    exception.next_step = row.text(5);
    exception.position = position_at(row, 6);
    exception.since = from_microseconds(row.integer(9));
    exception.tries = static_cast<unsigned>(row.integer(10));
    exception.next_try = from_microseconds(row.integer(11));
    return exception;
}

struct Registry::State {
    State(const std::filesystem::path& file, const Clock& of)
        : clock(of), database(file, sqlite::Database::Sync::Full), sums(database, "item") {
        database.migrate(registry_migrations());
        sums.load();
    }

    /// A transaction that changes items.
    void changing_items(const std::function<void()>& body) {
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

    void add_exception(const Exception& exception) {
        // A second failure of an item that is wrong keeps its age and its oldest position. What is
        // wrong here now does not wait until the primary can read its own again. That rows no
        // longer wait for what is parked is not worth saying.
        database.execute(
            "INSERT INTO exception (" + exception_columns +
                ", last_epoch, last_session, last_number) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?7, ?8, ?9) "
                "ON CONFLICT (store, item, past) DO UPDATE "
                "SET kind = excluded.kind, failure = excluded.failure, reason = excluded.reason, "
                "next_step = excluded.next_step, "
                "next_try_us = iif(exception.failure = ?13 AND excluded.failure <> ?13, "
                "excluded.next_try_us, max(exception.next_try_us, excluded.next_try_us)) "
                "WHERE excluded.kind <> " +
                std::to_string(static_cast<int>(ExceptionKind::Expired)) +
                " OR exception.kind <> " + std::to_string(static_cast<int>(ExceptionKind::Parked)),
            {exception.store.to_string(), Bytes{exception.item},
             static_cast<int64_t>(exception.kind), static_cast<int64_t>(exception.failure),
             exception.reason, exception.next_step, number(exception.position.epoch),
             number(exception.position.session), number(exception.position.number),
             to_microseconds(exception.since), static_cast<int64_t>(exception.tries),
             to_microseconds(exception.next_try),
             static_cast<int64_t>(FailureClass::PrimaryDefect)});
        database.execute(
            "UPDATE exception SET last_epoch = ?3, last_session = ?4, last_number = ?5 "
            "WHERE store = ?1 AND item = ?2 AND past = 0 AND "
            "(last_epoch, last_session, last_number) < (?3, ?4, ?5)",
            {exception.store.to_string(), Bytes{exception.item}, number(exception.position.epoch),
             number(exception.position.session), number(exception.position.number)});
    }

    /// What is wrong with the item now, if it began before `end`, or at it, counts as mended `by`.
    void mend(const StoreId& store, const std::string& item, const Position& end,
              const Position& by) {
        const std::string of_item = " WHERE store = ?1 AND item = ?2";
        const std::string now = of_item + " AND past = 0";
        const std::vector<Value> key = {store.to_string(), Bytes{item}};
        std::vector<Value> until = key;
        until.insert(until.end(), {number(end.epoch), number(end.session), number(end.number)});
        if (count("SELECT count(*) FROM exception" + now +
                      " AND (last_epoch, last_session, last_number) <= (?3, ?4, ?5)",
                  until) == 0) {
            return;
        }
        const uint64_t past =
            count("SELECT coalesce(max(past), 0) FROM exception" + of_item, key) + 1;
        const std::vector<Value> mending = {store.to_string(),  Bytes{item},       number(by.epoch),
                                            number(by.session), number(by.number), number(past)};
        const std::string by_this =
            "UPDATE exception SET mended_epoch = ?3, mended_session = ?4, mended_number = ?5";
        if (count("SELECT count(*) FROM exception" + of_item, key) <= most_past) {
            database.execute(by_this + ", kind = " + std::to_string(mended) + ", past = ?6" + now,
                             mending);
        } else {
            database.execute(by_this + of_item + " AND past = ?6 - 1", mending);
            database.execute("DELETE FROM exception" + now, key);
        }
    }

    /// One that is asked for stays so: it may have been written over something broken. So does one
    /// that is unproven, until all of it is read, or it is gone.
    void set_item(const StoreId& store, const Registry::Outcome& outcome) {
        const int64_t now = to_microseconds(clock.now());
        const auto known = find(store, outcome.item);
        sums.change(store, outcome.item, known ? known->digest : Digest{}, *outcome.applied,
                    outcome.position);
        database.execute(
            "INSERT INTO item (store, item, digest_algorithm, digest, epoch, session, number, "
            "looked_us, applied_us, bucket, mode, mtime_s, unproven_us) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, max(?8, 1), ?9, ?10, ?11, ?12, ?13) "
            "ON CONFLICT (store, item) DO UPDATE "
            "SET digest_algorithm = excluded.digest_algorithm, digest = excluded.digest, "
            "epoch = excluded.epoch, session = excluded.session, number = excluded.number, "
            "looked_us = CASE WHEN looked_us = 0 THEN 0 WHEN ?13 <> 0 THEN 1 WHEN ?8 = 0 THEN "
            "looked_us ELSE ?8 END, "
            "applied_us = iif(?14, excluded.applied_us, applied_us), "
            "mode = coalesce(excluded.mode, mode), "
            "mtime_s = coalesce(excluded.mtime_s, mtime_s), "
            "unproven_us = iif(?8 <> 0 OR ?13 <> 0 OR ?3 = '', ?13, unproven_us)",
            {store.to_string(), Bytes{outcome.item}, outcome.applied->algorithm,
             Bytes{outcome.applied->value}, number(outcome.position.epoch),
             number(outcome.position.session), number(outcome.position.number),
             outcome.looked ? now : int64_t{0}, now, number(verify::bucket_of(outcome.item)),
             or_null(outcome.attributes.mode), or_null(outcome.attributes.mtime_s),
             outcome.unproven ? now : int64_t{0}, int64_t{outcome.written}});
    }

    uint64_t count(const std::string& sql, const std::vector<Value>& of) const {
        return static_cast<uint64_t>(database.query_integer(sql, of).value_or(0));
    }

    std::vector<std::string> items(const std::string& sql, const std::vector<Value>& of) const {
        std::scoped_lock lock(mutex);
        std::vector<std::string> names;
        database.query(sql, of, [&](const RowView& row) {
            names.push_back(row.text(0));
            return true;
        });
        return names;
    }

    /// Looks that run do not count for what is asked for now; nullopt: that is everything.
    void ask_again(const StoreId& store, const std::optional<std::string>& item) {
        for (auto& [name, asked] : looking[store]) {
            asked = asked || !item || name == *item;
        }
    }

    void count_up(const std::string& fact) {
        database.execute(
            "INSERT INTO fact VALUES (?, '1') ON CONFLICT (name) DO UPDATE SET "
            "value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
            {fact});
    }
    uint64_t counted(const std::string& fact) const {
        return count("SELECT CAST(value AS INTEGER) FROM fact WHERE name = ?", {fact});
    }

    /// Since when what is asked for and is wrong was wrong, at the earliest.
    std::optional<TimePoint> failing_since(const StoreId& store) {
        const auto since = database.query_integer(
            "SELECT min(since_us) FROM exception JOIN item USING (store, item) WHERE store = ? AND "
            "past = 0 AND digest_algorithm <> '' AND looked_us = 0",
            {store.to_string()});
        return since ? std::optional(from_microseconds(*since)) : std::nullopt;
    }

    inline static const std::string is_no_exception =
        "NOT EXISTS (SELECT 1 FROM exception WHERE exception.store = item.store AND "
        "exception.item = item.item AND exception.past = 0)";

    std::optional<ItemState> find(const StoreId& store, const std::string& item) const {
        std::optional<ItemState> found;
        database.query(
            "SELECT digest_algorithm, digest, epoch, session, number, mode, mtime_s, unproven_us "
            "FROM item WHERE store = ? AND item = ?",
            {store.to_string(), Bytes{item}}, [&](const RowView& row) {
                found = item_state_of(row);
                return false;
            });
        return found;
    }

    ListedItem listed(const StoreId& store, const std::string& name) const {
        ListedItem item{name, {}, {}, {}, false, {}};
        const std::vector<Value> of = {store.to_string(), Bytes{name}};
        database.query(
            "SELECT digest_algorithm, digest, epoch, session, number, mode, mtime_s, applied_us, "
            "looked_us FROM item WHERE store = ? AND item = ?",
            of, [&](const RowView& row) {
                item.state = item_state_of(row);
                item.applied_at = known_time(row.integer(7));
                item.looked_at = known_time(row.integer(8));
                item.look_asked = row.integer(8) == 0 && !item.state->digest.empty();
                return false;
            });
        database.query("SELECT " + exception_columns +
                           " FROM exception WHERE store = ? AND item = ? ORDER BY past LIMIT 1",
                       of, [&](const RowView& row) {
                           item.exception = exception_of(row);
                           return false;
                       });
        return item;
    }

    unsigned count_finding(const StoreId& store, const std::string& item);

    void set_lane(const StoreId& store, const LanePosition& position) {
        lanes.reset();
        database.execute(
            "INSERT OR REPLACE INTO lane VALUES (?, ?, ?, ?, ?, ?, ?)",
            {store.to_string(), number(position.finished.epoch), number(position.finished.session),
             number(position.finished.number), number(position.transaction.epoch),
             number(position.transaction.session), number(position.transaction.number)});
    }

    void set_fact(const std::string& name, const std::string& value) {
        database.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", {name, value});
    }

    void set_finished(const StoreId& store, const Position& finished) {
        lanes.reset();
        database.execute(
            "INSERT INTO lane (store, epoch, session, number) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (store) DO UPDATE SET epoch = excluded.epoch, "
            "session = excluded.session, number = excluded.number",
            {store.to_string(), number(finished.epoch), number(finished.session),
             number(finished.number)});
    }

    void change_gap(const std::string& change, const StoreId& store, const Position& at) {
        std::scoped_lock lock(mutex);
        gaps.reset();
        database.execute(
            change + " WHERE store = ? AND (epoch, session, number) = (?, ?, ?)",
            {store.to_string(), number(at.epoch), number(at.session), number(at.number)});
    }

    void let_rows_wait_from(const StoreId& store, const Position& from) {
        gaps.reset();
        database.execute(
            "UPDATE gap SET rows_epoch = ?2, rows_session = ?3, rows_number = ?4 WHERE store = ?1 "
            "AND rows_wait AND (rows_epoch, rows_session, rows_number) > (?2, ?3, ?4)",
            {store.to_string(), number(from.epoch), number(from.session), number(from.number)});
    }

    const std::map<StoreId, Gap>& read_gaps() const;
    const std::map<StoreId, LanePosition>& read_lanes() const;

    const Clock& clock;
    mutable std::mutex mutex;
    /// They are asked for with each event; nullopt: changed since they were read.
    mutable std::optional<std::map<StoreId, Gap>> gaps;
    mutable std::optional<std::map<StoreId, LanePosition>> lanes;
    /// What is being read, and whether it was asked for since that began.
    std::map<StoreId, std::map<std::string, bool>> looking;
    mutable sqlite::Database database;
    mutable verify::SumTable sums;
};

}  // namespace antipode::secondary
