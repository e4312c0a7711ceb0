#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/seams/database.hpp"
#include "protocol/message.hpp"

/// What the sequencer needs of a store on the primary. primary/database implements DatabaseCapture;
/// primary/repositories and primary/blobs implement ItemCapture.
namespace antipode::primary {

/// Items that changed, by name, noticed but not read yet.
struct Noticed {
    std::vector<std::string> changed;
    std::vector<std::string> removed;  ///< seen to be gone
    /// False: the watch lost events (overflow) or a part of the store could not be looked at. The
    /// store is reconciled before its completeness is claimed again.
    bool complete = true;
    /// Everything is gone and the store looks as if it were another one: perhaps its file system is
    /// not mounted.
    bool emptied = false;
    /// Gone, too, but what they were has another name now.
    std::vector<std::string> moved{};
};

/// What was published of an item last: what the next reading is compared with. Kept in the
/// Inventory.
struct Published {
    /// The lane's own encoding (stat and hash; the refs). Empty: removed, or forgotten.
    std::string state;
    Digest digest;  ///< what secondaries must have; empty: removed

    bool removed() const { return digest.empty(); }
    /// Nobody knows any more what the secondaries have: publish the item whole, or its removal.
    bool forgotten() const { return state.empty() && !removed(); }
};

/// An item as it is now.
struct Reading {
    v1::Payload payload;  ///< without Fulfils: the sequencer fills it in
    Published published;  ///< recorded once the event is durable in the stream
};

class ItemCapture {
  public:
    virtual ~ItemCapture() = default;
    virtual const StoreId& store() const = 0;

    /// Everything that was noticed since the last call: every change that had happened when it is
    /// called is in this or an earlier result. Does not read content, does not block beyond looking
    /// at directories that are new. Sequencer thread.
    virtual Noticed drain() = 0;

    /// Compares the whole store with the inventory and returns what differs. Reads content only of
    /// items whose stat differs from what was published. A reconcile thread, one call at a time,
    /// while drain() and read() go on. Throws Error when the root is missing.
    virtual Noticed reconcile(const std::stop_token& stop) = 0;

    /// Reads an item as it is now, compared with what was published last. `whole`: a secondary
    /// asked for the item again; the event must be sufficient without anything sent before.
    /// nullopt: nothing differs. A payload Unchanged: nothing that travels differs, but `published`
    /// does (a stat) and is to be recorded. Capture workers, concurrently for different items,
    /// never twice at once for one item. Throws Error{Retry} when it cannot be read now (status
    /// shows it; tried again with backoff).
    virtual std::optional<Reading> read(const std::string& item, bool whole,
                                        const std::stop_token& stop) = 0;

    /// So many items are noticed and not read yet. Sequencer thread.
    virtual void waiting(size_t items) { static_cast<void>(items); }

    /// Puts items before those that need them to be published first. Any thread.
    virtual void put_in_order(std::vector<std::string>& items) { static_cast<void>(items); }

    /// Why nothing that is published has this name, as far as can be said without reading it: it
    /// is no name, is excluded, or something else stands there; nullopt: it may. Any thread. Throws
    /// Error{Retry}.
    virtual std::optional<std::string> why_no_item(const std::string& item) {
        static_cast<void>(item);
        return std::nullopt;
    }

    /// What is remembered of an item of which it is known that secondaries have it with this
    /// digest, as it is here now; nullopt: it is not here like that. For a site that becomes
    /// primary and was such a secondary. Any thread, before everything else.
    virtual std::optional<Published> assume(const std::string& item, const Digest& digest) {
        static_cast<void>(item);
        static_cast<void>(digest);
        return std::nullopt;
    }

    /// Reads the item again, whole. Why it is broken here, though nobody changed it since it was
    /// published; empty: it is not, it is gone, or it was changed, which read() takes up. `pace` is
    /// called with the bytes that were just read, may sleep, and throws Stopped. The store's sweep
    /// thread, while everything else goes on. Throws Error when it cannot be read.
    using Pace = std::function<void(uint64_t bytes)>;
    virtual std::string defect(const std::string& item, const Pace& pace,
                               const std::stop_token& stop) {
        static_cast<void>(item);
        static_cast<void>(pace);
        static_cast<void>(stop);
        return {};
    }

    /// False while changes may happen that drain() would not see (a repository without our hook):
    /// then only a reconcile proves completeness.
    virtual bool notices_everything() const = 0;
};

/// A committed transaction or a part of one, in commit order.
struct CapturedTransaction {
    v1::Transaction transaction;
};
/// Decoding has passed this place: every commit that ends at or below it was returned before.
struct DecodedThrough {
    Lsn lsn;
};
/// Decoding begins here: what ended at or below is not returned (again).
struct DecodingBegins {
    Lsn lsn;
};
using DatabaseEvent = std::variant<CapturedTransaction, DecodedThrough, DecodingBegins>;

class DatabaseCapture {
  public:
    virtual ~DatabaseCapture() = default;
    virtual const StoreId& store() const = 0;

    /// The next events; waits up to `wait` for the first. Connects, and creates or checks slot and
    /// publication, when there is no connection. Throws Error (Retry: connection lost; Stop: an
    /// unmet need, with its remedy); the next call starts again after the confirmed position, so
    /// that transactions may be returned again. Capture thread.
    virtual std::vector<DatabaseEvent> poll(std::chrono::milliseconds wait) = 0;

    /// Commits that end at or below `lsn` are safe on every site: the slot need not keep them. Any
    /// thread; sent with the next status message.
    virtual void confirm(Lsn lsn) = 0;

    /// Commits that end at or below cannot be returned again; the origin while that is not known.
    /// Any thread.
    virtual Lsn forgotten() const = 0;

    /// What the replication slot keeps, looked at every few seconds; nullopt: not known now. Any
    /// thread.
    virtual std::optional<SourceFacts::Slot> slot() const { return std::nullopt; }

    /// Keeps the connection alive while the capture thread waits for room downstream.
    virtual void keep_alive() = 0;

    /// Ends the connection; the next poll() starts again after the confirmed position. Any thread.
    virtual void restart() = 0;

    /// Where the write-ahead log ends now: whatever committed before this call ends at or below.
    /// Sequencer thread, its own connection. Throws Error{Retry}, soon when the server hangs.
    virtual Lsn wal_position() = 0;

    /// Publishes now where every sequence stands. `exact`: nobody uses them any more, so that
    /// mirrors are set to just this (a planned switchover). Returns the place in the log that
    /// decoding has passed once they were returned. Any thread, its own connection. Throws
    /// Error{Retry}, soon when the server hangs; Error{Stop} when one cannot be read.
    virtual Lsn publish_sequences(bool exact) = 0;
};

}  // namespace antipode::primary
