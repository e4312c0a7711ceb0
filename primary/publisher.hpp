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
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
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
        uint64_t published = 0;   ///< transactions, or items in the inventory
        uint64_t unfinished = 0;  ///< items that are announced, read or published now
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
    };
    Publisher(Options options, Stream& stream, Inventory& inventory,
              std::vector<DatabaseCapture*> databases, std::vector<ItemCapture*> items,
              const Clock& clock);

    /// One session. Returns when stopped; throws Error when the stream is not what it should be.
    void run(const std::stop_token& stop, Worker::Progress progress);

    // For the other threads.

    /// Something may have changed: look around.
    void poke() { inbox_.poke(); }
    /// Body of a database's capture thread: polls it and hands its events over.
    void capture_database(DatabaseCapture& capture, const std::stop_token& stop,
                          Worker::Progress progress);
    /// Body of a capture worker of `capture`'s store.
    void capture_items(ItemCapture& capture, const std::stop_token& stop,
                       Worker::Progress progress);
    /// Body of the reconcile thread of `capture`'s store.
    void reconcile(ItemCapture& capture, const std::stop_token& stop, Worker::Progress progress);
    /// A secondary's request. False: the publisher is busy, ask again.
    bool want(v1::Want want);

    PublisherStatus status() const { return status_.copy(); }

  private:
    using Input = std::variant<ReadOutcome, ReconcileOutcome, v1::Want>;
    struct ReconcileTask {
        uint64_t session = 0;
    };
    struct DatabaseInbox {
        Channel<DatabaseEvent> events;
        std::atomic<bool> restart =
            false;  ///< a new session began: what is queued is of the old one
        explicit DatabaseInbox(size_t bytes) : events(bytes) {}
    };
    struct ItemWork {
        Channel<ReadTask> reads;
        Channel<ReconcileTask> reconciles;
        ItemWork() : reads(64), reconciles(1) {}
    };

    Sequencer begin_session(const Stream::Info& info);
    void hand_out_work(Sequencer& sequencer, const std::stop_token& stop);
    void take_rows(Sequencer& sequencer, const std::stop_token& stop);
    void publish(const Sequencer& sequencer);

    Options options_;
    Stream& stream_;
    Inventory& inventory_;
    std::vector<DatabaseCapture*> databases_;
    std::vector<ItemCapture*> items_;
    const Clock& clock_;
    Channel<Input> inbox_;
    std::map<StoreId, std::unique_ptr<DatabaseInbox>> rows_;
    std::map<StoreId, std::unique_ptr<ItemWork>> work_;
    Synchronized<PublisherStatus> status_;
};

}  // namespace antipode::primary
