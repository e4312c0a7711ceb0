#pragma once

#include <functional>
#include <set>
#include <stop_token>
#include <string>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"
#include "base/seams/database.hpp"
#include "secondary/apply.hpp"
#include "secondary/database/copy_source.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode::secondary {

/// Brings back a database that lacks transactions which nobody can send any more (the primary's
/// slot was lost, or let go of this site): each table is compared with the primary's chunk by chunk
/// under a snapshot, only what differs is transferred, and the snapshot is recorded with it, as the
/// initial copy does (CopyPhase::Compare). Apply goes on from the slot's confirmed position, read
/// before the first snapshot. A table of which most differs is copied whole.
///
/// Each table is one transaction, so that a run that was cut off goes on behind those that ended.
/// The structure must be the primary's already: DDL that was lost has to be run by hand, and is
/// named. Tables that are made on the primary meanwhile come with the stream. One run per object;
/// any exception: the caller rolls the session back.
class ComparingCopy {
  public:
    ComparingCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                  const std::function<void(CopyProgress)>& report, const std::stop_token& stop);
    void run();

  private:
    void begin(const CopySource::Listing& listing);
    std::set<TableName> tables_here();
    void compare(const TableName& table);
    /// False: the table was written anew meanwhile; another snapshot may see it.
    bool compare_once(const TableName& table);
    void write(const PrimaryCheck& check, const ChunkPlan& plan,
               const std::set<uint32_t>& differing);
    void finish();

    const StoreId& store_;
    ReplicaSession& session_;
    BulkSource& primary_;
    const std::function<void(CopyProgress)>& report_;
    const std::stop_token& stop_;
    CopySource source_;
    ReplicaState state_;
    CopyProgress progress_;
};

/// How two texts of a schema differ: the first statements that do; empty: they do not. Comments and
/// blank lines do not count, nor do replica identities and what fills materialized views.
std::string difference_of_schemas(const std::string& primary, const std::string& here);

}  // namespace antipode::secondary
