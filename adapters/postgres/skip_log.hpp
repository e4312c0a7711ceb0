#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/postgres/connection.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Where the apply of a store stands stopped.
struct Stopped {
    Lsn lsn;  ///< of the transaction's commit
    std::string problem;
    std::string at;
};

/// One skipped transaction, as it is listed.
struct Skipped {
    Lsn lsn;
    uint64_t xid = 0;
    std::string table;  ///< empty: the whole transaction
    std::vector<std::string> tables;
    uint64_t changes = 0;
    std::string keys;  ///< a line each
    std::string problem;
    std::string asked_by;
    std::string asked_at;
    std::string skipped_at;
    std::string repair;  ///< "none", "pending", "done"
};

/// Makes the tables of the schema "antipode" that hold all this.
void create_skip_tables(Connection& connection);

// The daemon's side, in its writing session.
void read_skips(Connection& connection, const std::string& store, ReplicaState& state);
void note_stopped(Connection& connection, const std::string& store, Lsn lsn,
                  const std::string& problem);
void record_skip(Connection& connection, const std::string& store,
                 const SkippedTransaction& skipped);
void forget_repair(Connection& connection, const std::string& store, const TableName& table);
/// Of what was skipped in that table and is still to be repaired: it will not be.
void note_unrepaired(Connection& connection, const std::string& store, const TableName& table);

// The operator's side.
std::optional<Stopped> stopped_at(Connection& connection, const std::string& store);
void request_skip(Connection& connection, const std::string& store, const SkipRequest& request);
std::vector<Skipped> list_skipped(Connection& connection, const std::string& store);

}  // namespace antipode::postgres
