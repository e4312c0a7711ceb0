#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"
#include "protocol/rows.hpp"
#include "secondary/database/snapshot.hpp"

namespace antipode::secondary {

/// "transaction 741 at 0/15F2A98", for errors.
std::string describe_place(uint32_t xid, Lsn commit_lsn);
std::string describe_place(const v1::Transaction& transaction);

/// A table is not here, or not as it must be, and has to be copied from the primary, alone.
class LacksTable : public Error {
  public:
    LacksTable(TableName table, const std::string& what)
        : Error(Reaction::Retry, what), table_(std::move(table)) {}
    const TableName& table() const { return table_; }

  private:
    TableName table_;
};

/// Turns events' changes into row operations of a session and gathers them until they are taken.
/// Keeps which of the session's relations belongs to which description; forget() when the session
/// is lost. One thread.
class OperationReader {
  public:
    /// `settle` is called before the session is asked for a table, and may throw.
    OperationReader(ReplicaSession& session, std::function<void()> settle)
        : session_(session), settle_(std::move(settle)) {}

    void forget();

    /// A transaction, or a part of one, in a message that may hold several.
    struct Source {
        const v1::Transaction& message;
        uint32_t xid = 0;
        Lsn commit_lsn;
        std::string_view changes;
        uint64_t change_count = 0;
    };

    /// Looks at the tables of a new message, whose bytes must stay as long as its operations.
    void open(const v1::Transaction& message);
    /// Goes on with this of it. `left_out`: this table's changes are none of this transaction's.
    /// `copied` must stay as long as it is read.
    void open(const Source& source, const CopiedTables& copied,
              const std::optional<TableName>& left_out = std::nullopt);

    /// Gathers operations of the event until there are `most`; false: no more are in it. Changes
    /// that are in a table's copy already are left out. Throws LacksTable when a table that the
    /// transaction changes is missing here, Error{Stop} when a column is.
    bool read(size_t most);
    std::span<const RowOperation> gathered() const { return {operations_.data(), gathered_}; }
    /// Gathers anew; what was gathered stays until it is handed over the next time.
    void hand_over();
    const RowOperation& handed_over(size_t index) const { return handed_over_.at(index); }

    /// "transaction 741 at 0/15F2A98, public.items, key (id = 5)", for errors; the transaction is
    /// the one that was opened last.
    std::string describe(const RowOperation& operation) const;
    Lsn commit_lsn() const { return commit_lsn_; }

  private:
    struct Relation {
        RelationShape shape;
        std::string bytes;  ///< its description
        std::optional<uint32_t> mapped{};
        bool copied = false;  ///< this transaction is in the table's copy
        /// With ranges: this transaction is in the copies of these.
        CopiedTables::Coverage partly{};
        size_t key = 0;         ///< the column of the ranges
        uint64_t found_in = 0;  ///< the round in which all this was looked up
    };
    void find(Relation& relation);
    void find_key(Relation& relation) const;
    const Relation& relation(uint32_t id);
    bool leave_out_copied(const Relation& relation, RowOperation& operation) const;
    bool is_copied(const Relation& relation, const std::vector<Field>& row) const;
    bool convert(RowOperation& operation);
    void check(const Relation& relation, const RowOperation& operation) const;
    std::string place() const { return describe_place(xid_, commit_lsn_); }

    ReplicaSession& session_;
    const std::function<void()> settle_;
    std::unordered_map<std::string, uint32_t> mapped_;    ///< by the relation's bytes
    std::unordered_map<uint32_t, Relation> relations_;    ///< by id in the message
    std::unordered_map<uint32_t, RelationShape> shapes_;  ///< by the session's number
    uint64_t round_ = 1;  ///< relations_ that were found in an earlier one are looked up anew
    const CopiedTables* copied_ = nullptr;
    std::optional<TableName> left_out_;
    uint32_t xid_ = 0;
    Lsn commit_lsn_;
    protocol::ChangeReader reader_{{}};
    uint64_t expected_ = 0;  ///< changes that are still to be read of the event
    protocol::Change change_;
    std::vector<RowOperation> operations_;  ///< reused: only the first `gathered_` count
    size_t gathered_ = 0;
    std::vector<RowOperation> handed_over_;
};

}  // namespace antipode::secondary
