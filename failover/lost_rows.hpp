#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/database.hpp"
#include "base/seams/stream.hpp"
#include "failover/loss.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::failover {

/// Transactions of a former primary that the new one never got, as lines of JSON: for each changed
/// row its transaction, table, and what it was and became; values as PostgreSQL writes them. What
/// was written of a transaction that was broken off has a line "again" behind it. Where sequences
/// stand is no write of anybody's, and neither is a barrier. One thread.
class LostRows {
  public:
    /// Commits before `cut` are the new primary's, too. `found` hears of each transaction once, at
    /// its end.
    LostRows(StoreId store, Lsn cut, std::ostream& out, std::function<void(const Loss&)> found);

    /// A message, or a part of a transaction, in commit order. What was seen before is passed over.
    void add(const v1::Transaction& message);
    /// A message of the stream that cannot be read, as a loss of its own.
    void add_damaged(const Loss& message) { found_(message); }
    /// Every commit that ends at or below was added.
    Lsn through() const { return through_; }

  private:
    struct Place {
        uint32_t xid = 0;
        Lsn commit;
        int64_t commit_time_us = 0;
    };
    void add_changes(const v1::Transaction& message, const Place& place, std::string_view changes);
    void add_statements(const v1::Transaction& message, const Place& place);
    /// The last part of the transaction that is open did not come: it comes again from its first.
    void break_off();
    void end(const Place& place, Lsn end);

    const StoreId store_;
    std::ostream& out_;
    const std::function<void(const Loss&)> found_;
    Lsn through_;
    std::optional<Place> open_;  ///< a transaction of which parts are to come
    uint64_t changes_ = 0;       ///< of the transaction that is open
};

/// Adds what `source`, the former primary's own slot, still has, up to `end`; the slot stays as it
/// is. `begins` hears first where that begins: what ended before, it has let go. `end` is asked
/// again while decoding does not get there.
void add_from_slot(ChangeSource& source, const std::function<Lsn()>& end,
                   const std::function<void(Lsn from)>& begins, LostRows& rows,
                   const std::stop_token& stop);

/// What a site has of an epoch, and the newest primary has not.
struct LostPart {
    Position after;    ///< up to there the primary has it
    Lsn applied;       ///< the same in the log of that epoch; 0: it has nothing of it, or who knows
    Position through;  ///< up to there this site has it
};
/// Of a site that stands at `here`, in commit order; the last one is of the epoch of `here`, and
/// may be empty. A site may have been promoted that had less than the one before: so each
/// place counts at which a later epoch has begun. Throws Error{Stop} when `record`, the newest
/// primary's, does not say them all.
std::vector<LostPart> lost_parts(const v1::EpochRecord& record, const StoreId& store,
                                 const Position& here);
/// Whether a stream, of the epoch of `part`, has all of it.
bool has_part(Stream& stream, const std::string& cluster, const LostPart& part);

/// Adds the transactions of `store` that a stream still holds behind `after`, as far as they commit
/// below `before`, and names the messages of its lane that are damaged.
void add_from_stream(Stream& stream, const std::string& cluster, const Position& after, Lsn before,
                     const StoreId& store, LostRows& rows, const std::stop_token& stop);

}  // namespace antipode::failover
