#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/seams/database.hpp"

namespace antipode::postgres {

class Connection;

/// Keeps a mirror's sequences from being behind the rows that were applied: remembers the furthest
/// value in each column that is a sequence's (serial, identity, DEFAULT nextval) until it is taken,
/// as the SQL that moves the sequences on. To be run in the transaction of the rows: setval() lasts
/// even if that is rolled back, and then a sequence is ahead, which does no harm. One thread.
class SequenceRaises {
  public:
    /// Looks up which columns of a mapped relation are sequences'.
    void add(Connection& connection, uint32_t relation, const std::string& oid,
             const RelationShape& shape);
    /// Of operations that were applied. Values that the sequence could not return are passed over.
    void note(std::span<const RowOperation> operations);
    /// Statements, each with its semicolon, for what was noted since; empty when nothing was.
    std::string take_sql();
    void drop() { furthest_.clear(); }
    /// Relations, too.
    void forget();

  private:
    struct Column {
        size_t field = 0;
        uint32_t sequence = 0;  ///< its oid
        bool ascending = true;
        int64_t least = 0;
        int64_t most = 0;
    };
    struct Furthest {
        int64_t value = 0;
        bool ascending = true;
    };
    void note_value(const Column& column, const Field& field);

    std::vector<std::vector<Column>> columns_;  ///< by relation
    bool any_ = false;
    std::map<uint32_t, Furthest> furthest_;
};

/// Sets the sequences as the primary said. Those that are not here, or have other bounds, are
/// passed over.
void follow_sequences(Connection& connection, std::span<const SequenceState> states);

}  // namespace antipode::postgres
