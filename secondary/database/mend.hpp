#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <stop_token>
#include <string>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/check.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode::secondary {

struct MendReport {
    uint64_t chunks = 0;
    MendedRows rows;
    /// Tables that still differ, and why.
    std::map<TableName, std::string> unmended;
};

/// Makes the chunks that a check found different equal to the primary's, and transfers only those:
/// at a barrier, in the apply thread and in one transaction for each table, the rows of keys that
/// differ are replaced by the primary's as of that barrier (docs/decisions/0007). Apply waits for
/// it; rows that were written between the barriers stay as apply made them.
///
/// One thread. Errors: Retry (the primary or the server is away, apply is behind), Stop.
class DatabaseMend {
  public:
    struct Options {
        StoreId store;
        unsigned tries = 5;                       ///< of a table
        std::chrono::milliseconds wait{600'000};  ///< for apply to reach a barrier
    };
    /// `primary`: its bulk service. All outlive this object.
    DatabaseMend(Options options, BulkSource& primary, Barriers& barriers);

    /// `found`: its check is still open.
    MendReport run(const CheckReport& found, const std::stop_token& stop);

  private:
    /// The reason when it is not mended; empty: it is.
    std::string mend(const ChunkPlan& plan, const std::set<uint32_t>& chunks,
                     const std::string& cut_as, MendReport& report, const std::stop_token& stop);

    const Options options_;
    BulkSource& primary_;
    Barriers& barriers_;
};

/// Pulls the primary's rows of `chunks`, as of the snapshot of `check`, into the open transaction
/// of `session` and makes those here equal. `came` hears the size of each piece. Throws
/// Error{Retry} when the snapshot cannot read them.
MendedRows replace_chunks(const PrimaryCheck& check, const ChunkPlan& plan,
                          const std::set<uint32_t>& chunks, const TouchedRows& touched,
                          ReplicaSession& session, const std::function<void(size_t)>& came = {});

}  // namespace antipode::secondary
