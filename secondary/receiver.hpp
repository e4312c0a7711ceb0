#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/seams/stream.hpp"
#include "base/worker.hpp"
#include "protocol/event_log.hpp"
#include "secondary/apply.hpp"
#include "secondary/apply_order.hpp"
#include "secondary/pulls.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// What a secondary shows of one lane.
struct ReceiverLaneStatus {
    StoreId store;
    ApplyOrder::LaneStatus order;
    RecoveryPoint::Lane times;
    std::optional<DatabasePosition> database;
    std::optional<CopyProgress> copy;
    TimePoint copy_since;  ///< when this run of it began
    bool copying = false;
    /// Its copy has ended, and its rows may name what has not come yet.
    bool settling = false;
    bool behind_gap = false;  ///< a database whose rows may name what was removed since
    bool gap = false;
    uint64_t items = 0;     ///< that exist, with the digest that the primary computed
    uint64_t unproven = 0;  ///< of them: their content is still to be read
    uint64_t exceptions = 0;
    std::optional<Latencies::Percentiles> took;  ///< of the last hour
};

/// The next Receiver takes in nothing of the database before its copy has ended.
void await_copy(Registry& registry, const StoreId& store);

/// Reads this site's stream and runs the order of apply between the lanes' workers. run() is the
/// reading thread; apply_items() and apply_database() are the bodies of the lanes' workers. Owner:
/// the program.
class Receiver {
  public:
    struct Options {
        std::string cluster;
        uint64_t epoch = 0;
        ApplyOrder::Options order;
        std::chrono::milliseconds wait{250};  ///< of a step that has nothing to do
        /// Where the epoch has ended, of each lane: what comes behind is not applied. Empty: it
        /// goes on.
        std::map<StoreId, Position> ends{};
        /// Called when this site's stream does not bring what it holds.
        std::function<void()> on_damaged_stream{};
    };
    Receiver(Options options, Stream& stream, const std::vector<StoreId>& stores,
             Registry& registry, Pulls& pulls, ApplyOrder::ExpectedDigest expected_digest,
             const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Begins (again) at the lanes' positions; waits until no worker holds a task.
    void begin(const std::stop_token& stop);
    void read_behind(const Position& position);
    /// Reads what is there.
    void step(const std::stop_token& stop);

    /// Step of an apply worker of `apply`'s store.
    void apply_items(ItemApply& apply, const std::stop_token& stop);
    /// Makes sure that the initial copy is here; once before the steps of apply_database(), and
    /// again after each error.
    void begin_database(DatabaseApply& apply, BulkSource& primary, const std::stop_token& stop);
    /// Step of the apply worker of a database.
    void apply_database(DatabaseApply& apply);

    /// Nothing behind `end` is taken in from now on, of any store. Any thread; once.
    void end_at(const Position& end);

    /// Nothing of these stores is applied until they are not among `stores` any more; what is being
    /// applied ends, a large transaction with its last part.
    void hold(std::set<StoreId> stores);

    /// New messages are in the stream, or content has arrived: look.
    void wake();
    void content_arrived(const StoreId& store);

    std::vector<ReceiverLaneStatus> status() const;
    std::optional<TimePoint> recovery_point() const;
    /// The newest event that is taken in, and the newest marker before which everything of the lane
    /// is finished and recorded.
    Position accepted() const;
    Position passed(const StoreId& store) const;
    /// A worker holds a task of the item: what it did is not recorded yet. Any thread.
    bool is_applying(const StoreId& store, const std::string& item) const;
    /// Of an epoch that has ended: everything of the lane that is before its end is applied.
    bool has_ended(const StoreId& store) const;
    /// How long the store's changes took since the start.
    Latencies::Total latencies(const StoreId& store) const;
    /// The commit up to which a database is applied here; 0: unknown.
    Lsn applied_lsn(const StoreId& store) const;
    /// ApplyOrder::brings_rows_before() the gap that the database has.
    bool brings_rows_before_gap(const StoreId& store) const;
    const protocol::EventLog& events() const { return events_; }
    /// Puts among them what is no event of the stream.
    void tell(const StoreId& store, const std::string& kind, const std::string& text) {
        events_.tell(store, kind, text, clock_.now());
    }

  private:
    bool is_behind_end(const protocol::Event& event) const;
    /// False: reading goes on at an earlier place.
    bool accept(const protocol::Message& message, const StoredMessage& stored);
    void note_earlier_epochs(const protocol::Message& first);
    /// Looks where the stream goes on behind the last message.
    void search();
    /// Until somebody changes something, for a while; `lock` holds mutex_.
    void wait_for_change(std::unique_lock<std::mutex>& lock);
    void persist(SteadyTime now);
    void look_at_gaps();
    void look_at_rows(const StoreId& store, const std::optional<Registry::Gap>& gap);
    void stands_at(const StoreId& store, const DatabasePosition& position);
    bool content_is_ready(const StoreId& store, const protocol::Event& event);
    std::variant<ItemTask, Result> task_of(const StoreId& store,
                                           const protocol::Event& event) const;
    using Announced = std::optional<Announcements::Range>;
    std::vector<ApplyOrder::Finished> work_on(ItemApply& apply,
                                              const std::vector<ApplyOrder::Task>& tasks,
                                              const Announced& announced,
                                              const std::stop_token& stop);
    void keep_what_goes(const StoreId& store, const protocol::Event& event, const Digest& digest,
                        const Position& announced);
    void set_copied(const StoreId& store, const DatabasePosition& position);
    void take_in_unread();
    void note_unnoticed(const protocol::Event& event);
    std::optional<TimePoint> proven_through(const StoreId& store) const;
    void tell_unnoticed(const StoreId& store, const std::optional<TimePoint>& since,
                        TimePoint until);
    void set_applying(const StoreId& store, const std::vector<ApplyOrder::Task>& tasks, bool out);

    Options options_;
    Stream& stream_;
    std::vector<StoreId> stores_;
    Registry& registry_;
    Pulls& pulls_;
    const Clock& clock_;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    // Under mutex_:
    ApplyOrder order_;
    std::map<StoreId, DatabasePosition> databases_;
    struct Copy {
        CopyProgress progress;
        TimePoint since;
    };
    std::map<StoreId, Copy> copies_;
    std::set<StoreId> copying_;
    std::set<StoreId> settling_;                         ///< of which a fact says so
    size_t out_ = 0;                                     ///< workers that hold tasks
    std::map<StoreId, std::set<std::string>> applying_;  ///< items of the tasks that are out
    bool paused_ = false;  ///< the order begins again: no task is handed out
    std::set<StoreId> held_;
    Position read_through_;  ///< events up to here were taken in, or are behind an end

    protocol::EventLog events_;  // locks for itself

    // Reading thread only:
    Position noted_through_;
    /// Stores of which the primary has said that anything may have changed, and what was proven of
    /// them last before that; nullopt: nothing was.
    std::map<StoreId, std::optional<TimePoint>> unsure_since_;
    protocol::Assembler assembler_;
    std::optional<protocol::ChainPoint> last_;
    uint64_t next_ = 1;
    std::deque<StoredMessage> unread_;  ///< read from the stream, and not taken in
    size_t event_bytes_ = 0;
    SteadyTime persist_at_{};
    SteadyTime look_at_{};
};

}  // namespace antipode::secondary
