#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"
#include "secondary/apply.hpp"

namespace antipode::secondary {

/// Fills an empty database from the primary's bulk service: what tables need, then one table after
/// the other, each under a snapshot that is recorded with its rows, then indexes, constraints,
/// triggers, and sequences. Foreign keys are kept for later (ReplicaState::finish_script).
///
/// Each step is one transaction, so that a run that was cut off goes on behind the last one. The
/// position's LSN is the slot's confirmed position, read before the first snapshot: from there on
/// the stream has every change. The schema is read at the beginning, under a snapshot that says
/// which changes of it the stream need not repeat. Changes of it while rows are copied can make the
/// copy fail. Rows that it did not copy itself are never overwritten.
/// When the operator has made the (empty) tables beforehand, only rows and sequences are copied.
///
/// One run per object. Any exception: the caller rolls the session back.
class InitialCopy {
  public:
    InitialCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                const std::function<void(CopyProgress)>& report, const std::stop_token& stop);
    void run();

  private:
    struct Listing {
        std::vector<TableName> tables;
        Lsn confirmed;
    };
    BulkRequest request(const std::string& what) const;
    std::string fetch(const BulkRequest& request, BulkSource::Answer& answer);
    struct Schema {
        std::string before;
        std::string after;
        std::string finish;
        CopiedTable snapshot;  ///< from before it was read
        bool operator==(const Schema& other) const {
            return before == other.before && after == other.after && finish == other.finish;
        }
    };
    std::string fetch_section(const char* section, BulkSource::Answer& answer);
    Schema fetch_schema();
    Listing fetch_tables();
    void begin_copy(const Listing& listing);
    void copy_table(const TableName& table);
    std::vector<SequenceValue> fetch_sequences();
    void finish();

    const StoreId& store_;
    ReplicaSession& session_;
    BulkSource& primary_;
    const std::function<void(CopyProgress)>& report_;
    const std::stop_token& stop_;
    ReplicaState state_;
    CopyProgress progress_;
};

}  // namespace antipode::secondary
