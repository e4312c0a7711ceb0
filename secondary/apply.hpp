#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/files.hpp"
#include "protocol/message.hpp"

/// What the apply side needs of a store on a secondary. secondary/database implements
/// DatabaseApply; secondary/repositories and secondary/blobs implement ItemApply.
namespace antipode::secondary {

/// Why an item is parked.
enum class FailureClass {
    Transient,      ///< disk full, permission, connection: tried again with backoff
    PrimaryDefect,  ///< the primary's item itself is broken or vanished while it was read
    LocalDefect,    ///< what is here is broken or not what it should be
    Refused,        ///< a name or content that must not be stored
};
std::string_view to_string(FailureClass failure);

/// What became of one event.
struct Result {
    enum class Kind {
        Applied,     ///< durable; `digest` was computed from what is here now
        Unneeded,    ///< was applied before; `digest` is of what is here now
        Superseded,  ///< a later event of the item was applied before; said by the core itself
        NeedsWhole,  ///< what is here is not what the event builds on: ask for the whole item
        Failed,      ///< parked; `failure` and `reason` say why
    };
    Kind kind = Kind::Applied;
    Digest digest;  ///< of the item after the event; empty: the item does not exist
    FailureClass failure = FailureClass::Transient;
    std::string reason;
    std::string next_step;
    /// False: Applied, but what was believed of its content is still to be proven by a look at it.
    bool proven = true;

    static Result applied(Digest digest) { return {Kind::Applied, std::move(digest), {}, {}, {}}; }
    static Result failed(FailureClass failure, std::string reason, std::string next_step = {}) {
        return {Kind::Failed, {}, failure, std::move(reason), std::move(next_step)};
    }
    /// The primary says that it cannot read the item.
    static Result unreadable(const v1::Unreadable& said) {
        return failed(FailureClass::PrimaryDefect, said.reason(), said.next_step());
    }
    static Result needs_whole(std::string reason) {
        return {Kind::NeedsWhole, {}, FailureClass::LocalDefect, std::move(reason), {}};
    }
};

/// One event to apply. `content` is the pulled file (hash checked) when the event's content does
/// not travel inside it; the store may rename it away. While that file looks like `checked`, it is
/// what was hashed as it came, and need not be read for that again. Small content may be in memory
/// instead: `bytes` (hash checked). `base`, `base_index`: the pulled files of a repository's base,
/// the same way.
struct ItemTask {
    const protocol::Event* event = nullptr;
    std::filesystem::path content;
    std::optional<FileStat> checked{};
    std::shared_ptr<const std::string> bytes{};
    std::filesystem::path base{};
    std::filesystem::path base_index{};
};

class ItemApply {
  public:
    virtual ~ItemApply() = default;
    virtual const StoreId& store() const = 0;

    /// Where pulled content of this store is put before it is applied (same file system as the
    /// store).
    virtual std::filesystem::path incoming_directory() const = 0;

    /// Applies events of different items; a result for each, in order. What is Applied is durable
    /// when this returns. Applying twice equals once. An expected failure is a result; it throws
    /// Error{Retry} only when nothing of the store can be reached (root missing). Several workers
    /// call it at once, never for the same item.
    virtual std::vector<Result> apply(std::span<const ItemTask> tasks,
                                      const std::stop_token& stop) = 0;
};

/// Where a database stands: read from, and written in the same transaction as, the data.
struct DatabasePosition {
    Position position;          ///< of the last applied transaction's event
    Lsn lsn;                    ///< its commit record's end on the primary
    uint64_t transactions = 0;  ///< applied since the initial copy
    bool copied = false;        ///< the initial copy is complete
};

struct CopyProgress {
    uint64_t tables_done = 0;
    uint64_t tables = 0;
    uint64_t rows = 0;
    uint64_t bytes = 0;  ///< that came
    /// What the tables take on the primary's disk, roughly: of all, of what is copied, and of what
    /// earlier runs had copied.
    uint64_t source_bytes = 0;
    uint64_t source_bytes_done = 0;
    uint64_t source_bytes_before = 0;
    std::string table;  ///< one that is being copied now
};

class DatabaseApply {
  public:
    virtual ~DatabaseApply() = default;
    virtual const StoreId& store() const = 0;

    /// Connects when needed. Throws Error (Retry: unreachable; Stop: an unmet need, with its
    /// remedy).
    virtual DatabasePosition position() = 0;

    /// Copies schema and tables that are not copied yet, each under a snapshot that the position
    /// tables remember, so that transactions visible in it are skipped later. Resumable by table,
    /// and by ranges of large ones. Copies a table alone that apply() found missing.
    virtual void initial_copy(BulkSource& primary, const std::function<void(CopyProgress)>& report,
                              const std::stop_token& stop) = 0;

    /// Transactions behind position() are lost, and nobody can send them: initial_copy() compares
    /// all tables with the primary's next. Does nothing before the initial copy has ended.
    virtual void compare_anew() = 0;

    /// Applies transactions in commit order: `events` are consecutive events of the lane, whole
    /// transactions or parts of large ones. Each transaction becomes visible whole, together with
    /// its position; several may share one local commit. Parts whose last part is not among
    /// `events` stay open until the next call. A transaction that ends at or below the applied LSN
    /// is skipped. Throws Error: Retry (begin again at position()), Resync (the transaction before
    /// it is missing: ask for the LSN in position()), Stop (constraint, missing relation: names
    /// table, key, LSN).
    virtual DatabasePosition apply(std::span<const protocol::Event* const> events) = 0;
};

}  // namespace antipode::secondary
