#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/limits.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"
#include "secondary/apply.hpp"
#include "secondary/database/copy_source.hpp"
#include "secondary/database/table_copy.hpp"

namespace antipode::secondary {

struct CopyOptions {
    unsigned workers = 1;  ///< ranges and tables copied at the same time
    /// Tables larger than this are cut, where they can be.
    uint64_t part_bytes = 256 * limits::mib;
};

/// Fills an empty database from the primary's bulk service: what tables need, then tables, several
/// at once, large ones in ranges of their key, each under a snapshot that is recorded with its
/// rows, then indexes, constraints, triggers, and sequences. Foreign keys are kept for later
/// (ReplicaState::finish_script).
///
/// Each step, each table and each range is one transaction, so that a run that was cut off goes on
/// behind those that ended. The position's LSN is the slot's confirmed position, read before the
/// first snapshot: from there on the stream has every change. The schema is read at the beginning,
/// under a snapshot that says which changes of it the stream need not repeat. Changes of it while
/// rows are copied can make the copy fail; a table that was made meanwhile is copied alone. Rows
/// that it did not copy itself are never overwritten. When the operator has made the (empty) tables
/// beforehand, only rows and sequences are copied.
///
/// One run per object. With several workers it has threads of its own, with a session each, which
/// end before run() does. Any exception: the caller rolls the session back.
class InitialCopy {
  public:
    InitialCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                const CopyOptions& options, const std::function<void(CopyProgress)>& report,
                const std::stop_token& stop);
    void run();
    /// Copies one table of a database whose initial copy is done, in one transaction. It is made
    /// first when it is not here, emptied when it is. When the primary has it no more, its changes
    /// up to now are left out.
    void copy_alone(const TableName& table);
    /// Puts the primary's rows in the place of those of a table that is here, in one transaction.
    /// It must be the same table there, by name and columns: when the primary is ahead with changes
    /// of its structure, this throws, and is tried again when they have come.
    void copy_again(const TableName& table);

  private:
    struct Part {
        TableName table;
        KeyRange range;
        uint64_t bytes = 0;  ///< on the primary's disk, roughly
    };

    void begin_copy(const CopySource::Listing& listing);
    std::vector<Part> plan(const CopySource::Listing& listing);
    /// Makes a table and fills it, in the open transaction.
    void make_alone(const TableName& table);
    void copy_new_tables(const CopySource::Listing& listing);
    void copy_parts(std::vector<Part> parts);
    void copy_part(ReplicaSession& session, const Part& part, const std::stop_token& stop);
    std::optional<Part> next_part(std::vector<Part>& parts);
    /// Behind nothing that a row took which was just copied: the stream will not say it again.
    void move_sequences_on();
    void finish();
    /// Changes the progress and reports it, when it is worth it.
    void advance(const std::function<void(CopyProgress&)>& change, bool always = true);

    const StoreId& store_;
    ReplicaSession& session_;
    BulkSource& primary_;
    const CopyOptions options_;
    const std::function<void(CopyProgress)>& report_;
    const std::stop_token& stop_;
    CopySource source_;
    ReplicaState state_;

    std::mutex mutex_;
    // Under mutex_, while parts are copied:
    CopyProgress progress_;
    uint64_t reported_bytes_ = 0;
    std::multiset<std::string> copying_;  ///< names of tables
    std::map<TableName, size_t> parts_left_;
};

}  // namespace antipode::secondary
