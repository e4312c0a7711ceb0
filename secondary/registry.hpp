#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/item_query.hpp"
#include "secondary/apply.hpp"
#include "verify/attributes.hpp"
#include "verify/sum_table.hpp"

namespace antipode::secondary {

/// Why an item is an exception to "everything up to the recovery point is here".
enum class ExceptionKind {
    Parked,   ///< it failed; tried again
    Expired,  ///< rows waited for it longer than max_hold and went on
    Mended,   ///< it is here again; rows that are applied may still name what it was before
};
std::string_view to_string(ExceptionKind kind);

struct Exception {
    StoreId store;
    std::string item;
    ExceptionKind kind = ExceptionKind::Parked;
    FailureClass failure = FailureClass::Transient;
    std::string reason;
    std::string next_step;
    /// Of the oldest event that is not fulfilled: holds back the recovery point.
    Position position;
    TimePoint since;
    unsigned tries = 0;
    TimePoint next_try;
};

struct ItemState {
    Digest digest;                    ///< empty: the item does not exist
    Position position;                ///< of the event that made it so
    verify::Attributes attributes{};  ///< of a file or directory
    /// It was applied on another site's word then, and its content was not found right since.
    std::optional<TimePoint> unproven_since{};
};

/// What this site knows of itself: items and where they stand, the lanes' positions, exceptions.
/// SQLite, one transaction per batch of results, synced before anything is reported. Thread-safe.
/// Throws Error{Retry} when the file cannot be written.
class Registry {
  public:
    /// An empty path keeps it in memory (simulation).
    Registry(const std::filesystem::path& file, const Clock& clock);
    ~Registry();

    /// One finished event of a lane: at most one of `applied` and `parked` is set; none: the item
    /// is as it was.
    struct Outcome {
        std::string item;
        Position position;
        Position fulfilled;  ///< exceptions of the item up to this place are Mended
        std::optional<Digest> applied;
        std::optional<Exception> parked;
        bool looked = false;  ///< `applied` was made from all of its content, as it is here now
        /// What the event says of them; what it does not say is as it was.
        verify::Attributes attributes{};
        bool unproven = false;  ///< `applied` is to be proven by a look at all of its content
        bool mends = true;      ///< what was wrong with the item ends with this
        bool written = true;    ///< false: the item was `applied` already, nothing touched it
    };
    /// Records outcomes together with the lane's position: everything at or below it is finished.
    void record(const StoreId& store, std::span<const Outcome> outcomes, const Position& finished);

    std::optional<ItemState> find(const StoreId& store, const std::string& item) const;
    /// At most `most` items that have this content, if it is too large to travel in an event.
    std::vector<std::string> with_content(const StoreId& store, const Digest& digest,
                                          size_t most) const;
    /// Items that exist.
    uint64_t count(const StoreId& store) const;
    /// Those of them that are still to be proven.
    uint64_t unproven(const StoreId& store) const;
    /// Which they are, those that came first before the others.
    std::vector<std::string> unproven_items(const StoreId& store) const;
    void for_each(const StoreId& store,
                  const std::function<void(const std::string& item, const ItemState&)>& use) const;

    struct ListedItem {
        std::string item;
        std::optional<ItemState> state;  ///< nullopt: nothing of it was ever applied
        std::optional<TimePoint> applied_at;
        std::optional<TimePoint> looked_at;  ///< its content was compared with `state`
        bool look_asked = false;             ///< it is to be compared as soon as it can be
        std::optional<Exception> exception;
    };
    /// What is known of single items. Differing: exceptions of class LocalDefect.
    std::vector<ListedItem> list(const StoreId& store, const ItemQuery& query) const;

    // Sums of what is here; see InventoryCheck.

    verify::InventorySum total(const StoreId& store) const;
    std::vector<verify::SumTable::Bucket> sums(const StoreId& store) const;
    /// Items that exist.
    std::map<std::string, ItemState> bucket(const StoreId& store, uint32_t bucket) const;
    /// See SumTable::check.
    verify::SumTable::Checked check_sums(const StoreId& store, size_t most) const;
    bool rebuild_sum(const StoreId& store, uint32_t bucket);

    // Which content was read when; see Sweep.

    /// What told that an item is not as it should be: its content, or the comparison with what the
    /// primary published.
    enum class FoundBy { Reading, Inventories };
    /// The item is not here as it was applied: it is an exception, counts as found_differing(), and
    /// is due for a look as soon as it is no exception any more. What is found again within a day
    /// is asked for later each time, and its reason says how often it was.
    void differs(Exception exception, FoundBy by);
    struct Repeated {
        uint64_t items = 0;      ///< found differing alarming_times or more, the last within a day
        std::string most_often;  ///< one of them
        uint64_t times = 0;      ///< how often that was
    };
    static constexpr unsigned alarming_times = 3;
    Repeated repeated(const StoreId& store) const;

    struct Looked {
        std::string item;
        std::optional<TimePoint> unproven_since;  ///< when the look began
    };
    /// No item of the store is being read.
    void begin_looks(const StoreId& store);
    /// This one is from now on, until looked_at() or begin_looks().
    void begin_look(const StoreId& store, const std::string& item);
    /// It is being read, and nobody has asked for it since that began.
    bool is_being_looked_at(const StoreId& store, const std::string& item) const;
    /// They are as they should be; those that were asked for while they were read are due all the
    /// same. One that came anew meanwhile, unproven, stays so.
    void looked_at(const StoreId& store, std::span<const Looked> items);
    /// Items that exist and are right, as far as is known: those that are to be proven; then those
    /// last looked at no later than `since`, the ones that were asked for first, then the oldest.
    std::vector<std::string> due_for_look(const StoreId& store, TimePoint since, size_t most) const;
    /// They are due until they are found right, also when they change. Returns how many exist.
    uint64_t ask_for_look(const StoreId& store, const std::optional<std::string>& item = {});
    /// The same of several that exist.
    void ask_for_looks(const StoreId& store, const std::vector<std::string>& items);
    /// How often all of the store were asked for.
    uint64_t looks_asked(const StoreId& store) const;
    struct Looks {
        uint64_t asked = 0;    ///< that were asked for and are still to be looked at
        uint64_t failing = 0;  ///< that were asked for too, and are wrong now
        std::optional<TimePoint> failing_since;  ///< what is wrong with them for the longest
        std::optional<TimePoint> oldest;         ///< nullopt: nothing is here, or some never were
    };
    Looks looks(const StoreId& store) const;
    /// How many items were ever found to differ, or to be broken; by reading them, or at all.
    uint64_t found_by_reading(const StoreId& store) const;
    uint64_t found_differing(const StoreId& store) const;

    /// Everything of the lane at or below is finished. For a database lane the truth is in the
    /// database; `transaction` is what it said when this was recorded.
    struct LanePosition {
        Position finished;
        Position transaction;
    };
    LanePosition lane(const StoreId& store) const;
    void set_lane(const StoreId& store, const LanePosition& position);
    /// The same of several, and facts (see set_fact), with one sync.
    void set_lanes(const std::map<StoreId, LanePosition>& positions,
                   const std::map<std::string, std::string>& facts);

    void add_exception(const Exception& exception);
    /// The exception of the whole store (protocol::whole_store), if it began before `open_from`, is
    /// Mended by what is published before `by`.
    void mend_whole_store(const StoreId& store, const Position& open_from, const Position& by);
    /// Removes what was mended before `rows`, the oldest row that is not applied (nullopt: all
    /// are); of the whole store, when the lane has `finished` what mended it.
    void remove_mended(const std::optional<Position>& rows,
                       const std::map<StoreId, Position>& finished);
    std::vector<Exception> exceptions(size_t most) const;
    /// Items that are due for another try, oldest first.
    std::vector<Exception> due(TimePoint now, size_t most) const;
    void tried(const StoreId& store, const std::string& item, TimePoint next_try);
    /// Nothing of the store is known to be here any more, and everything is compared with the
    /// primary's inventory.
    void compare_anew(const StoreId& store, TimePoint now);
    /// Those of the store that failed, or this one of them, are tried again now. Returns how many.
    uint64_t try_now(const StoreId& store, TimePoint now,
                     const std::optional<std::string>& item = {});
    /// Without what is mended.
    uint64_t exception_count(const StoreId& store) const;
    bool is_exception(const StoreId& store, const std::string& item) const;
    /// It is asked for again when it is due.
    bool is_awaited(const StoreId& store, const std::string& item) const;
    /// An event of it failed here, or its content was found to differ: only content mends that.
    bool may_be_damaged(const StoreId& store, const std::string& item) const;
    /// The place in the order that the recovery point must not pass; the origin while a store needs
    /// an inventory.
    std::optional<Position> oldest_exception() const;

    /// The store's events have a gap before `at`: items are compared with the primary's inventory,
    /// transactions are asked for again. Holds back the recovery point until it is mended.
    struct Gap {
        Position at;
        TimePoint since;
        /// Stores of items: whatever was announced before the gap is published, and applied here as
        /// far as it came; the primary's inventory now tells what is missing.
        bool passed = false;
        /// Stores of items: something may be missing, so rows from `rows_from` on wait.
        bool rows_wait = true;
        Position rows_from;
        /// Rows were let pass since it opened, also if it has grown since and they wait again.
        bool rows_came = false;
        bool operator==(const Gap&) const = default;
    };
    /// A gap that is open already grows: the later position counts. Rows wait from the earlier one
    /// on, if any do.
    void set_gap(const StoreId& store, const Position& at, TimePoint now);
    std::optional<Gap> gap(const StoreId& store) const;
    // These do nothing when the gap has grown behind `at` meanwhile.
    void set_gap_passed(const StoreId& store, const Position& at);
    /// What was announced at `from` may be missing: rows behind it wait as well, if any do.
    void let_rows_wait_from(const StoreId& store, const Position& from);
    void let_rows_pass(const StoreId& store, const Position& at);
    void mend_gap(const StoreId& store, const Position& at);

    /// Forgets everything: this site was the primary meanwhile.
    void clear();

    /// Small facts that must survive a restart: "safe", "recovery_point", ...
    void set_fact(const std::string& name, const std::string& value);
    std::optional<std::string> fact(const std::string& name) const;
    void forget_fact(const std::string& name);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::secondary
