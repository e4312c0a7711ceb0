#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "protocol/message.hpp"
#include "secondary/announcements.hpp"
#include "secondary/apply.hpp"
#include "secondary/latencies.hpp"
#include "secondary/recovery.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// Decides what may be applied when. Events come in, in stream order; the lanes take what is
/// allowed and say what became of it.
///
/// * An item's events are applied one after another; different items in parallel.
/// * A transaction waits until every change announced before it is here (consistency "causal"), and
///   behind a gap of items until it is known that nothing is missing; but not longer than max_hold.
///   It never waits for a removal.
/// * A removal waits until every transaction numbered before it is applied, every database is known
///   to stand where the stream goes on, and none is being copied. It is left out when a later event
///   changes the item while it waits.
/// * What is a copy of another item, or borrows from it, comes behind that item's earlier changes
/// and before its later
///   events.
/// * So transactions wait for changes, and only removals wait for transactions: there is no circle.
///
/// It also keeps the lanes' positions and the recovery point. Passive; one thread at a time (the
/// receiver holds a lock around it; the simulation has one thread).
class ApplyOrder {
  public:
    struct Options {
        bool causal = true;
        std::chrono::milliseconds max_hold{600'000};
        size_t lane_bytes = 64ULL << 20;  ///< held at most, but for one read
        size_t lane_events = 50'000;
    };
    using ExpectedDigest = std::function<Digest(const v1::Payload&)>;

    ApplyOrder(Options options, const std::vector<StoreId>& stores, Registry& registry,
               ExpectedDigest expected_digest, const Clock& clock);

    /// Begins with nothing pending. `finished`: where each lane stands; events at or below are
    /// skipped.
    void begin(const std::map<StoreId, Position>& finished);
    /// A database lane that is being copied takes no transactions until resume().
    void set_copying(const StoreId& store, bool copying);

    bool has_room() const;
    /// `bytes`: what the event occupies.
    void accept(protocol::Event event, size_t bytes);
    /// True when the events must be read again from the lanes' positions (see begin()): a copy has
    /// ended, or something that was done could not be recorded.
    bool wants_restart() const;
    /// Transactions that had to wait are dropped when they fill the lane, to let the items behind
    /// them come. Once they need not wait, they are accepted when the events are read again from
    /// behind the returned position; all others are then ignored. nullopt: there are none.
    std::optional<Position> read_skipped();

    // Items.

    struct Task {
        const protocol::Event* event = nullptr;  ///< valid until it is finished
    };
    /// `ready(event)`: its content is here. Not more than one event of an item is out at a time. At
    /// most `most_bytes` of content, but for the last one.
    std::vector<Task> take_items(const StoreId& store, size_t most, size_t most_bytes,
                                 const std::function<bool(const protocol::Event&)>& ready);
    /// Pulled content has arrived (or is given up): look again at the events that wait for it.
    void content_arrived(const StoreId& store);
    struct Finished {
        Task task;
        Result result;
    };
    void finish_items(const StoreId& store, const std::vector<Finished>& finished);
    /// The tasks could not be worked on; they are handed out again.
    void give_back(const StoreId& store, const std::vector<Task>& tasks);

    // Databases.

    /// The next transactions that may be applied, in order. They stay out until finished or failed.
    std::vector<const protocol::Event*> take_transactions(const StoreId& store, size_t most_events,
                                                          size_t most_bytes);
    /// A part of a transaction was taken, and not yet its last one.
    bool is_open(const StoreId& store) const { return lanes_.at(store).open_before.has_value(); }
    void finish_transactions(const StoreId& store);
    void fail_transactions(const StoreId& store);
    /// What was taken does not join on to what is applied: it is one run of transactions of which
    /// each joins on to the one before, so that the primary sends all of it again.
    void drop_transactions(const StoreId& store);

    /// Gives up waiting for what has waited too long, and records it; lets removals go whose reason
    /// to wait has ended.
    void look_at_time();

    // What can be seen.

    struct LaneStatus {
        Position finished;
        size_t waiting = 0;  ///< events that are not applied yet
        size_t waiting_bytes = 0;
        uint64_t applied = 0;   ///< since begin()
        uint64_t verified = 0;  ///< results whose digest was as expected, since begin()
        uint64_t mismatches = 0;
        std::string held_by;  ///< what the lane waits for, for people
        std::string problem;  ///< a lane that cannot go on
    };
    LaneStatus status(const StoreId& store) const;
    /// How long changes took from the primary's commit (databases) or capture to here.
    const Latencies& latencies(const StoreId& store) const { return latencies_.at(store); }
    const RecoveryPoint& recovery() const { return recovery_; }
    RecoveryPoint& recovery() { return recovery_; }
    Position accepted() const { return accepted_; }
    std::map<StoreId, Position> finished() const;
    /// Whatever was announced before the gap of a store of items is published, and all of that
    /// which came is here, but for removals.
    bool has_passed(const StoreId& store, const Position& gap) const;
    /// Transactions of a database from before its gap are here, or in this site's stream, and can
    /// be applied: where it stands now is not where it will stand at the gap.
    bool brings_rows_before(const StoreId& database, const Position& gap) const;
    /// Rows were let pass behind a gap of items that is not mended yet.
    bool have_rows_passed_gap() const;
    /// Announcements of changes that are not here yet; nullopt: there is none.
    std::optional<Announcements::Range> announced(const StoreId& store) const {
        return announcements_.waited_for(store);
    }
    /// The place of the oldest of them, or of the next event.
    Position open_from(const StoreId& store) const {
        const auto open = announced(store);
        return open ? open->oldest
                    : Position{accepted_.epoch, accepted_.session, accepted_.number + 1};
    }
    /// Recomputes the recovery point from the lanes' positions and the registry's exceptions.
    void update_recovery();

  private:
    struct Pending {
        protocol::Event event;
        Position before;   ///< the event accepted just before it, of any lane
        size_t bytes = 0;  ///< that count for has_room(); 0: it may wait for what comes later
        std::vector<Position> instead_of;  ///< removals that were left out: done when this is
        bool is_removal = false;
        bool is_announcement = false;
        bool is_whole = false;  ///< an announcement of the whole store
    };
    struct Lane {
        StoreId store;
        std::map<Position, Pending> queue;  ///< what is not done yet
        Position begun;                     ///< events at or below are finished, and skipped
        Position seen;                      ///< the newest accepted one; skipped when read again
        size_t bytes = 0;                   ///< of those that count for has_room(),
        size_t events = 0;                  ///< and their number
        uint64_t applied = 0;
        uint64_t verified = 0;
        uint64_t mismatches = 0;
        std::string problem;
        bool rewind = false;  ///< read again from the position

        // Items: events by item in order; items that may run; events that wait for content.
        std::unordered_map<std::string, std::deque<Pending*>> by_item;
        std::deque<std::string> runnable;
        std::set<std::pair<Position, std::string>> blocked_removals;  ///< by place in the order
        std::vector<std::string> waiting_for_content;
        /// Events that copy another item, by that; items whose first event waits for such a copy,
        /// or for what it copies.
        std::map<std::string, std::set<Position>> copies;
        std::set<std::string> behind_copies;

        Position passed_gap;  ///< behind this gap came a marker that
        Position passed_by;   ///< says that all announced before it is published

        /// A reconcile has announced, `before` a place, what announcements of the whole store up to
        /// `through` left open. Oldest first.
        struct Found {
            Position before;
            Position through;
        };
        std::deque<Found> found;

        // Databases.
        bool copying = false;
        Lsn named_commit;  ///< the end of the newest transaction that the newest marker names
        std::optional<Position> skipped_from;     ///< transactions from here on were dropped
        Position skipped_before;                  ///< the event accepted before the first of them
        std::optional<Position> read_again_from;  ///< these, until all of them are here again
        size_t taken = 0;
        std::optional<Position> open_before;  ///< an open large transaction began behind this;
        uint64_t open_commit_lsn = 0;         ///< which,
        uint32_t open_next_part = 0;          ///< and what comes next of it
    };

    bool is_copying() const;
    void take_in(protocol::Event event, size_t bytes);
    Lane& lane_of(const StoreId& store) { return lanes_.at(store); }
    void accept_item_event(Lane& lane, Pending& pending);
    void accept_announcement(Lane& lane, Pending& pending);
    /// Up to where the item's events that are here, but not applied, fulfil announcements.
    Position fulfilled_by_coming(const Lane& lane, const std::string& item, bool removals) const;
    void accept_control(const protocol::Event& event, const Position& before);
    void look_at_marker(const v1::Marker::Lane& said, const Position& marker);
    /// When they have waited for too long: anything of the store may be missing, which is recorded.
    void let_rows_pass_gap(const StoreId& store);
    /// `oldest`: the announcement of something that was lost in a gap.
    void let_rows_wait_for_lost(const StoreId& store, const Position& oldest);
    /// False: that is known already.
    static bool add_found(Lane& lane, const Position& before, const Position& through);
    /// Ends waiting for the whole store when all that the reconcile found is here.
    void fulfil_found(Lane& lane);
    /// Changes that are not applied, but for removals and what waits for a reconcile.
    bool has_changes_before(const Lane& lane, const Position& end) const;
    /// The lane is to be read again from where it is finished.
    void rewind(Lane& lane);
    /// The transactions that are out begin with all the rest of the open one.
    static bool taken_complete_open(const Lane& lane);
    bool must_skip(const Lane& lane, const Position& position, size_t bytes) const;
    std::optional<Position> rows_barrier() const;
    void run_next(Lane& lane, const std::string& item);
    /// The item's first event may be applied now, but for copies.
    void let_run(Lane& lane, const std::string& item);
    static std::string leans_on(const protocol::Event& event);
    void note_copy(Lane& lane, const protocol::Event& event);
    void end_copy(Lane& lane, const protocol::Event& event);
    bool waits_for_copy(const Lane& lane, const protocol::Event& event) const;
    /// An item that waited for a copy, or to be copied, need not wait any more, perhaps.
    void look_again(Lane& lane, const std::string& item);
    void look_at_copies_of(Lane& lane, const std::string& item);
    bool is_blocked_removal(const protocol::Event& event) const;
    /// Lets what stands behind a blocked removal of the item pass it, if it may. True: the item's
    /// first event is now one that can be applied.
    bool pass_removals(Lane& lane, const std::string& item);
    std::optional<Position> removal_limit() const;
    /// The oldest place at which a row may stand that is not applied; nullopt: no matter.
    std::optional<Position> rows_to_come() const;
    void release_removals();
    bool lacks_rows(const Lane& lane) const;
    void record(Lane& lane, const std::vector<Finished>& finished);
    void note_latencies(const StoreId& store, const std::vector<Finished>& finished);
    void note_latencies(const StoreId& store, const v1::Transaction& transaction);
    Registry::Outcome judge(Lane& lane, const Finished& finished);
    void judge_unchanged(Lane& lane, const protocol::Event& event,
                         Registry::Outcome& outcome) const;
    Exception park(const Lane& lane, const protocol::Event& event, const Result& result) const;
    void fulfil(Lane& lane, const std::string& item, const protocol::Event& event);
    void close(Lane& lane, const std::vector<Position>& complete);
    /// The item's first event is done with.
    void finish_front(Lane& lane, const std::string& item);
    void done(Lane& lane, const Position& position);
    Position finished(const Lane& lane) const;

    Options options_;
    Registry& registry_;
    ExpectedDigest expected_digest_;
    const Clock& clock_;
    std::map<StoreId, Lane> lanes_;
    Announcements announcements_;
    RecoveryPoint recovery_;
    std::map<StoreId, Latencies> latencies_;
    Position accepted_;
    Position read_again_to_;  ///< accepted before skipped transactions were read again
    Position marker_seen_;
};

}  // namespace antipode::secondary
