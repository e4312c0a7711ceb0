#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "adapters/postgres/target_table.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

class Connection;

/// Keeps triggers and rules from firing again on a mirror that fire even in sessions of replication
/// (ENABLE ALWAYS, ENABLE REPLICA). There is no setting for it, so they are disabled in the
/// transaction that writes and enabled as they were before it commits: nobody else ever sees them
/// disabled.
///
/// Owner and thread: those of the connection. After an error the transaction is rolled back and
/// forget() called.
class QuietTables {
  public:
    /// `relation`: what the row operations call the table.
    void add(uint32_t relation, const TargetTable& table);
    /// Before these are applied.
    void silence(Connection& connection, std::span<const RowOperation> operations);
    /// Before rows of a table are written in another way; does nothing when there is no such table.
    void silence(Connection& connection, const TableName& table);
    /// Before the commit, and before the structure changes.
    void restore(Connection& connection);
    /// The transaction was rolled back.
    void forget() { restore_.clear(); }

  private:
    void silence(Connection& connection, uint32_t relation);
    void silence(Connection& connection, const std::string& oid, const std::string& name);

    std::map<uint32_t, std::pair<std::string, std::string>> tables_;  ///< oid, name for ALTER
    std::map<std::string, std::string> restore_;                      ///< statements by oid
};

}  // namespace antipode::postgres
