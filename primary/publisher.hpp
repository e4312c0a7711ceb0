#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/channel.hpp"
#include "base/clock.hpp"
#include "base/seams/stream.hpp"
#include "base/stream_writer.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
#include "primary/notifications.hpp"
#include "primary/sequencer.hpp"

namespace antipode::primary {

/// What the publisher shows of itself.
struct PublisherStatus {
    struct Lane {
        StoreId store;
        Position head;
        std::optional<TimePoint> captured_through;
        Lsn decoded;              ///< database lanes
        Lsn stored;               ///< database lanes: safe on this site
        Lsn last_commit;          ///< database lanes: end of the newest transaction
        Lsn last_change;          ///< database lanes: end of the newest that changed something
        uint64_t published = 0;   ///< transactions, or items in the inventory
        uint64_t unfinished = 0;  ///< items that are announced, read or published now
        Inventory::WithheldCount withheld;           ///< deletions
        std::vector<std::string> withheld_examples;  ///< a few that are held, or discarded
        /// Start of the last whole reconcile of this session; nullopt: there was none.
        std::optional<SteadyTime> reconciled_from;
        std::string problem;
        std::string next_step;
        std::vector<ItemLane::Problem> problems;
    };
    Position head;
    std::vector<Lane> lanes;
    TimePoint at;
};

/// The publisher of a primary: runs the sequencer in one thread and is the single writer of the
/// stream. The other threads of the primary hand their work over through it: capture threads of
/// databases, capture and reconcile workers of the other stores, the answerer of wants. run() is
/// one session; the owner's worker calls it again when it throws.
class Publisher {
  public:
    struct Options {
        std::string cluster;
        std::string site;
        std::string version;
        uint64_t epoch = 0;
        std::chrono::milliseconds marker_interval{1000};
        std::chrono::milliseconds reconcile_interval{600'000};
        std::chrono::milliseconds wait{100};  ///< of a step that has nothing to do
        std::map<StoreId, DeletionLimits> deletion_limits{};
    };
    Publisher(Options options, Stream& stream, Inventory& inventory,
              std::vector<DatabaseCapture*> databases, std::vector<ItemCapture*> items,
              const Clock& clock);

    /// One session. Returns when stopped; throws Error when the stream is not what it should be.
    void run(const std::stop_token& stop, Worker::Progress progress);
    void begin_session();
    /// Takes in what the other threads brought, publishes what follows from it. A broker that is
    /// away is not an error: what is to be published stays, and is in the result.
    std::optional<Error> step(const std::stop_token& stop);

    // For the other threads.

    /// Compare every store of items as a whole, beginning now.
    void reconcile_soon() {
        reconcile_soon_ = true;
        inbox_.poke();
    }
    /// Something may have changed: look around.
    void poke() {
        is_to_look_ = true;
        inbox_.poke();
    }
    /// Step of a database's capture thread: polls it and hands its events over.
    void capture_database(DatabaseCapture& capture, const std::stop_token& stop);
    /// Step of a capture worker of `capture`'s store.
    void capture_items(ItemCapture& capture, const std::stop_token& stop);
    /// Step of the reconcile thread of `capture`'s store. The error when the store cannot be looked
    /// at.
    std::optional<Error> reconcile(ItemCapture& capture, const std::stop_token& stop);
    /// A program waits until these items are stored; they must be of one of the stores of items.
    /// False: the publisher is busy, and the program has its answer.
    bool notify(Notification notification);
    /// A secondary's request. False: the publisher is busy, ask again.
    bool want(v1::Want want);
    /// Deletions of the store that were held are to be published, or not; to be published also
    /// those that were discarded. Returns how many.
    uint64_t deletions_to_decide(const StoreId& store, bool release) const;
    uint64_t decide_deletions(const StoreId& store, Inventory::Decision decision);

    /// Every site has applied everything up to here: the stream need not keep it (but for a
    /// margin).
    void set_applied_everywhere(const Position& position) {
        applied_everywhere_.with([&](Position& shared) { shared = position; });
    }

    PublisherStatus status() const { return status_.copy(); }
    const protocol::EventLog& events() const { return events_; }
    /// Puts among them what is no event of the stream.
    void tell(const StoreId& store, const std::string& kind, const std::string& text) {
        events_.tell(store, kind, text, clock_.now());
    }

  private:
    struct ReleasedDeletions {
        StoreId store;
    };
    using Input =
        std::variant<ReadOutcome, ReconcileOutcome, v1::Want, ReleasedDeletions, Notification>;
    struct ReconcileTask {
        uint64_t session = 0;
    };
    struct DatabaseInbox {
        Channel<DatabaseEvent> events;
        std::atomic<bool> restart =
            false;  ///< the capture starts again: what is queued is not to be numbered
        explicit DatabaseInbox(size_t bytes) : events(bytes) {}
    };
    struct ItemWork {
        ItemCapture& capture;
        Channel<ReadTask> reads{1024};
        Channel<ReconcileTask> reconciles{1};
        explicit ItemWork(ItemCapture& of) : capture(of) {}
    };

    bool take_in_unrecorded(const Stream::Info& info);
    void take_in(const std::stop_token& stop);
    std::chrono::milliseconds rest() const;
    void await_readings(bool took_rows, const std::stop_token& stop);
    bool rows_wait() const;
    void take_inputs(std::chrono::milliseconds wait, const std::stop_token& stop);
    /// False: there were none.
    bool take_rows(const std::stop_token& stop);
    void hand_out_work(const std::stop_token& stop);
    std::optional<Error> append();
    void hand_over(Input input, const std::stop_token& stop);
    void look_back();
    void purge();
    void show();

    Options options_;
    Stream& stream_;
    Inventory& inventory_;
    std::vector<DatabaseCapture*> databases_;
    std::vector<ItemCapture*> items_;
    const Clock& clock_;
    Channel<Input> inbox_;

    // Publisher thread only:
    StreamWriter writer_;
    std::unique_ptr<Sequencer> sequencer_;
    Notifications notifications_;
    std::deque<OutgoingMessage> outgoing_;
    size_t reading_ = 0;         ///< items handed out and not come back
    size_t reading_pushes_ = 0;  ///< those of them that are repositories
    SteadyTime push_begun_{};    ///< when the newest of these was handed out
    Backoff backoff_;
    SteadyTime purge_at_{};
    bool is_to_look_back_ = true;
    std::optional<Error> problem_;  ///< why the last append failed
    SteadyTime append_at_{};        ///< not before: the broker was away

    // Shared:
    std::map<StoreId, std::unique_ptr<DatabaseInbox>> rows_;
    std::map<StoreId, std::unique_ptr<ItemWork>> work_;
    SteadyTime show_at_{};
    Synchronized<PublisherStatus> status_;
    std::atomic<bool> reconcile_soon_ = false;
    std::atomic<bool> is_to_look_ = false;  ///< poked since it looked around last
    Synchronized<Position> applied_everywhere_;
    protocol::EventLog events_;
};

}  // namespace antipode::primary
