#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/seams/stream.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
#include "primary/item_lane.hpp"
#include "protocol/event_log.hpp"
#include "protocol/message.hpp"

namespace antipode::primary {

/// What became of a ReadTask.
struct ReadOutcome {
    ReadTask task;
    std::optional<Reading> reading;  ///< nullopt: nothing differs, or `problem`
    std::string problem;
    std::string next_step;
};

/// What became of a reconcile.
struct ReconcileOutcome {
    StoreId store;
    uint64_t session = 0;
    Noticed noticed;
    std::string problem;  ///< empty: it succeeded
    std::string next_step;
};

/// The one sequencer of a primary: gives every event of every lane its number, so that the order is
/// causal although applications know nothing of it. Before a transaction is numbered, whatever the
/// other stores noticed is announced; a store in which something may have changed unnoticed is
/// announced as a whole, until a reconcile has found it. A removal is announced only when decoding
/// has passed the write-ahead log position that was read after noticing it. What cannot be read for
/// long is said to be unreadable, so that rows need not wait for it. One object per session;
/// passive (it starts no threads and reads time only from its clock), one thread.
/// docs/ARCHITECTURE.md tells the story.
class Sequencer {
  public:
    struct Options {
        std::string cluster;
        std::string site;
        std::string version;
        uint64_t epoch = 0;
        uint64_t session = 0;
        /// The stream's newest message, which this session joins on to; nullopt: the stream is
        /// empty.
        std::optional<protocol::ChainPoint> joins;
        std::chrono::milliseconds marker_interval{1000};
        std::chrono::milliseconds reconcile_interval{600'000};
        /// How long secondaries' rows wait for a store that cannot be reconciled.
        std::chrono::milliseconds reconcile_grace{5000};
        /// Of stores of items; see DeletionGuard.
        std::map<StoreId, DeletionLimits> deletion_limits;
    };

    /// `events` (may be null) is told of everything that gets a number.
    Sequencer(Options options, std::vector<DatabaseCapture*> databases,
              std::vector<ItemCapture*> items, Inventory& inventory, const Clock& clock,
              protocol::EventLog* events = nullptr);

    // What comes in.

    /// Takes what a database decoded, in order.
    void add(const StoreId& store, std::vector<DatabaseEvent> events);
    void add(ReadOutcome outcome);
    void add(ReconcileOutcome outcome);
    /// A secondary asks for items or transactions again. Returns the database whose capture has to
    /// start again at its confirmed position; what it decoded before must not be added any more.
    std::optional<StoreId> add(const v1::Want& want);
    /// A program says that it changed `items` of `store` before now. They are announced, because
    /// a watch may have overlooked it. The number up to which announcements of them are to be
    /// fulfilled until they are published as they are (ItemLane::progress).
    uint64_t notified(const StoreId& store, const std::vector<std::string>& items);
    /// Every store is compared as a whole, beginning now.
    void reconcile_now();
    /// An operator has released the deletions of the store that were held (Inventory::decide).
    void release_deletions(const StoreId& store);
    /// Notices what changed, announces it, releases removals, publishes markers that are due.
    void look_around();
    /// Nothing happens before the next marker is due unless something comes in.
    bool is_at_rest() const;
    SteadyTime marker_due() const { return marker_due_; }

    // What goes out.

    /// The next item of `store` to read.
    std::optional<ReadTask> next_read(const StoreId& store);
    /// How many items wait for that.
    size_t ready_reads(const StoreId& store) const;
    /// Stores whose reconcile should begin now; each is returned once until its outcome is added.
    std::vector<StoreId> begin_reconciles();

    /// Messages to append, in order: all that was emitted since the last call.
    std::deque<OutgoingMessage> take_outgoing();
    /// Everything taken so far is stored and synced.
    void stored();

    // What can be seen.

    struct DatabaseLane {
        DatabaseCapture* capture = nullptr;
        Lsn decoded;      ///< everything that ended here or below is numbered
        Lsn stored;       ///< the same, stored in the stream
        Lsn last_commit;  ///< end of the newest transaction that was numbered
        Lsn last_change;  ///< end of the newest one that changed rows or the structure
        /// Transactions below are handed out once more after a reconnect; they have their numbers.
        Lsn repeated_below;
        uint64_t head = 0;
        uint64_t transactions = 0;
        TimePoint captured_through{};
        std::string problem;
        std::string next_step;
    };
    const std::map<StoreId, DatabaseLane>& databases() const { return databases_; }
    const std::map<StoreId, ItemLane>& items() const { return lanes_; }
    Position head() const { return sealer_.head(); }
    /// Everything up to here is stored and synced.
    const Position& stored_through() const { return stored_through_; }

  private:
    uint64_t emit(const std::optional<StoreId>& store, const v1::Payload& payload);
    void announce(ItemLane& lane, const std::vector<std::string>& items, bool removals);
    void announce_unread(ItemLane& lane, const std::vector<std::string>& items);
    void announce_whole(ItemLane& lane);
    /// `anew`: what is gone went since the last look; else it may have been noticed before.
    void take_notice(ItemLane& lane, const Noticed& noticed, bool anew, TimePoint now,
                     TimePoint happened_after);
    bool may_be_deleted(ItemLane& lane, const std::string& item);
    void drain(ItemLane& lane);
    SteadyTime::duration rest_behind_reconcile(ItemLane& lane, SteadyTime now) const;
    void reconcile_failed(ItemLane& lane, const std::string& problem, const std::string& next_step);
    void say_reconciled(ItemLane& lane);
    void say_unreadable(ItemLane& lane, const std::string& item, const v1::Fulfils& fulfils,
                        const std::string& reason, const std::string& next_step);
    bool removal_is_cleared(ItemLane& lane, const std::string& item);
    void reading_failed(ItemLane& lane, const ReadOutcome& outcome);
    void look_at_failing(ItemLane& lane);
    void ask_needs_of_removals();
    void release_removals();
    void drain_all();
    void publish_transaction(DatabaseLane& lane, const StoreId& store, v1::Transaction transaction);
    void publish_reading(ItemLane& lane, ReadOutcome outcome);
    void emit_unchanged(ItemLane& lane, const std::string& item, bool removal_follows);
    std::optional<Lsn> wal_position(DatabaseLane& lane);
    void begin_marker();
    void forget_times_after(TimePoint now);
    void finish_marker_if_proven();
    /// See Marker.Lane.open_from.
    uint64_t open_from(const ItemLane& lane) const;
    void emit_marker();
    void emit_marker_at_once();

    Options options_;
    Inventory& inventory_;
    const Clock& clock_;
    protocol::EventLog* events_;
    protocol::Sealer sealer_;
    std::map<StoreId, DatabaseLane> databases_;
    std::map<StoreId, ItemLane> lanes_;

    std::vector<Inventory::Record> unrecorded_;  ///< of events that are not stored yet
    Position taken_through_;                     ///< what was emitted up to here was taken
    Position stored_through_;

    /// A marker whose proof is awaited: rows up to `needed` decoded.
    struct PendingMarker {
        TimePoint begun_at;
        std::map<StoreId, Lsn> needed;
    };
    std::optional<PendingMarker> pending_marker_;
    SteadyTime marker_due_;
};

}  // namespace antipode::primary
