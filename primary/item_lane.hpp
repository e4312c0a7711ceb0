#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "primary/capture.hpp"
#include "primary/deletion_guard.hpp"

namespace antipode::primary {

/// Work for a capture worker: read this item.
struct ReadTask {
    StoreId store;
    std::string item;
    bool whole = false;
    uint64_t session = 0;  ///< results of an earlier session are ignored
};

/// The state of one store of repositories or blobs inside the sequencer: which items were
/// announced, are being read, are being published; which removals wait for the database. Passive;
/// sequencer thread.
class ItemLane {
  public:
    ItemLane(ItemCapture& capture, Inventory& inventory, DeletionLimits limits)
        : capture_(capture), deletions_(capture.store(), limits, inventory) {}

    ItemCapture& capture() { return capture_; }
    DeletionGuard& deletions() { return deletions_; }
    const StoreId& store() const { return capture_.store(); }

    /// `item` got a place in the order: the announcement with `number`.
    void announced(const std::string& item, uint64_t number);
    /// `item`, whose removal was released, got the announcement with `number`.
    void removal_announced(const std::string& item, uint64_t number);
    /// The next reading of `item` that begins must be whole.
    void want_whole(const std::string& item) { items_[item].whole = true; }

    /// The next item to read; nullopt: none is due.
    std::optional<ReadTask> next_read(SteadyTime now, uint64_t session);
    /// An item waits for nothing but its reading.
    bool has_ready_read() const { return !ready_.empty(); }
    size_t ready_reads() const { return ready_.size(); }

    /// The announcements that a finished reading of `item` fulfils.
    v1::Fulfils fulfils(const std::string& item) const;
    /// The one of them that announced its removal: nothing that rows may wait for.
    uint64_t removal_announcement(const std::string& item) const;
    /// All of them announced its removal, and none behind them a change.
    bool only_removals_announced(const std::string& item) const;
    /// Number of the oldest announcement that is not fulfilled; nullopt: all are.
    std::optional<uint64_t> oldest_open() const;
    /// The reading failed: it is tried again after a growing delay, or when it is announced again.
    void reading_failed(const std::string& item, const std::string& problem,
                        const std::string& next_step, SteadyTime now);
    /// It failed so often that rows should no longer wait for it.
    bool is_unreadable(const std::string& item) const;
    /// An event says so: it fulfils what the failed reading would have.
    void said_unreadable(const std::string& item);
    /// The reading led to an event that is not stored yet.
    void publishing(const std::string& item);
    /// The item's event is stored, or none was needed.
    void finished(const std::string& item);
    /// Rows wait no longer for what was announced of `item`, and its removal is still to come:
    /// oldest_open() counts it until that is stored, or will not come.
    void removal_follows(const std::string& item);
    /// What is being read or published: the inventory does not know yet what they are.
    std::vector<std::string> in_flight() const;

    /// A removal that must not be announced before decoding passed `needed` in every database; a
    /// database that could not be asked yet has no entry.
    struct HeldRemoval {
        std::string item;
        TimePoint happened_after;  ///< everything that happened until then was announced before
        bool whole = false;        ///< it was asked for: it is published whatever was before
        std::map<StoreId, Lsn> needed;
    };
    /// Of an item whose removal is held already, nothing happens, unless it was removed `anew`:
    /// rows may name what it was in between, so it needs what is to be decoded now.
    void hold_removal(HeldRemoval removal, bool anew = false);
    bool holds_removal(const std::string& item) const { return held_.contains(item); }
    /// Takes back all removals that are held and not released yet.
    std::vector<HeldRemoval> withdraw_removals();
    /// The reading that has just ended was asked for by a secondary.
    bool was_read_whole(const std::string& item) const;
    /// True when a removal does not know yet what it needs of `database`.
    bool lacks_need(const StoreId& database) const;
    void set_missing_needs(const StoreId& database, Lsn needed);
    /// What is held may have come back and gone again: all needs are asked for once more.
    void forget_needs();
    /// Removals whose databases have all passed; each may now be announced and read.
    std::vector<std::string> release_removals(const std::map<StoreId, Lsn>& decoded);
    /// How many removals were held, and how many of them released, in this order.
    uint64_t removals_held() const { return removals_held_; }
    uint64_t removals_released() const { return removals_held_ - removals_.size(); }
    /// The reading that has just ended began behind the announcement of the item's removal, and
    /// nothing was noticed of the item since, another removal neither, nor may it have been
    /// overlooked.
    bool removal_is_cleared(const std::string& item) const;
    /// Its removal was announced since the reading began, and no change behind that.
    bool removal_is_announced_since(const std::string& item) const;
    /// The earliest time behind which a removal that is held may have happened.
    std::optional<TimePoint> oldest_held_removal() const;

    /// Where what was announced of an item up to a number stands.
    enum class Progress {
        Settled,       ///< stored, or there was nothing to store
        Open,          ///< announced, being read, or on its way into the stream
        RemovalWaits,  ///< it is gone, and its removal is not stored yet
        Unreadable,    ///< see problem_of(); it is tried again
    };
    Progress progress(const std::string& item, uint64_t through) const;
    /// It was announced, and a reading that did not fail yet is still to begin.
    bool is_to_be_read(const std::string& item) const;

    size_t unfinished() const { return items_.size() + removals_.size(); }

    struct Problem {
        std::string item;
        std::string text;
        std::string next_step;
    };
    Problem problem_of(const std::string& item) const;
    /// Items that cannot be read now; at most `most`.
    std::vector<Problem> problems(size_t most) const;

    /// What reconciles have proven; kept by the sequencer.
    struct Completeness {
        bool reconciled = false;  ///< in this session
        bool running = false;
        bool asked = false;                       ///< one that begins from now on is wanted
        std::optional<SteadyTime> failing_since;  ///< the last reconcile did not see everything
        uint64_t losses = 0;                      ///< how often the watch lost events,
        uint64_t losses_at_start = 0;             ///< when the running reconcile began,
        uint64_t losses_mended = 0;               ///< and what a reconcile has made up for
        /// What was read or published when the running reconcile began, which compares with the
        /// inventory: it may miss that one of them has changed since it was read.
        std::vector<std::string> in_flight_at_start;
        /// The open announcement that anything may have changed unnoticed; 0: there is none.
        uint64_t unsure_since = 0;
        bool said_unreadable = false;  ///< rows do not wait for it: the store cannot be looked at
        /// A reconcile has ended, to be said once so many held removals are released.
        std::optional<uint64_t> say_reconciled_behind;
        uint64_t first_reconciled = 0;  ///< number of the session's first Reconciled; 0: none yet
        bool all_announced() const { return reconciled && losses == losses_mended; }
        bool proven() const { return all_announced() && !failing_since; }
        std::string problem;
        std::string next_step;
        TimePoint started_at;  ///< of the running reconcile
        TimePoint proven_at;   ///< start of the last one that succeeded
        /// The same two by the clock that is never set back.
        SteadyTime steady_started_at;
        std::optional<SteadyTime> steady_proven_at;
        TimePoint drained_at;  ///< start of the last drain that lost nothing
        SteadyTime due;
        TimePoint captured_through{};  ///< epoch of the clock: unknown
        uint64_t head = 0;             ///< number of the lane's newest event
    };
    Completeness completeness;

  private:
    enum class Phase { Idle, Queued, Reading, Publishing };
    struct Item {
        Phase phase = Phase::Idle;
        uint64_t first = 0;            ///< oldest announcement that is not fulfilled
        uint64_t through = 0;          ///< newest one
        uint64_t reading_through = 0;  ///< newest one when the reading began
        uint64_t next_first = 0;       ///< oldest one since the reading began
        /// Newest one of its removal behind all changes: it may have come back before that, and
        /// gone again. 0: none.
        uint64_t cleared_at = 0;
        uint64_t next_cleared_at = 0;  ///< the same since the reading began
        uint64_t losses_before = 0;    ///< Completeness::losses when the newest was announced
        bool changed = false;          ///< announced as changed, not only as gone
        bool next_changed = false;     ///< the same since the last reading began
        bool whole = false;            ///< the next reading must be
        bool reading_whole = false;    ///< this one is
        bool owes_removal = false;     ///< what ends this reading is not its removal yet
        unsigned tries = 0;
        SteadyTime not_before{};
        std::string problem;
        std::string next_step;
    };
    Item& place(const std::string& name, uint64_t number);
    void queue(const std::string& name, Item& item);
    void open(uint64_t first) { ++open_[first]; }
    void close(uint64_t first);
    void settle(const std::string& name);

    ItemCapture& capture_;
    DeletionGuard deletions_;
    std::map<std::string, Item> items_;
    std::deque<std::string> ready_;
    std::set<std::pair<SteadyTime, std::string>> delayed_;
    std::map<uint64_t, size_t> open_;  ///< how many items' `first` it is, or place in owed_
    /// The oldest announcements of items whose removals are still to come.
    std::map<std::string, uint64_t> owed_;
    std::list<HeldRemoval> removals_;
    std::map<std::string, std::list<HeldRemoval>::iterator> held_;  ///< by item
    uint64_t removals_held_ = 0;
};

}  // namespace antipode::primary
