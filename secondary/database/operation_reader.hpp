#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"
#include "protocol/rows.hpp"
#include "secondary/database/snapshot.hpp"

namespace antipode::secondary {

/// Turns events' changes into row operations of a session and gathers them until they are taken.
/// Keeps which of the session's relations belongs to which description; forget() when the session
/// is lost. One thread.
class OperationReader {
  public:
    explicit OperationReader(ReplicaSession& session) : session_(session) {}

    void forget();

    /// Looks at a new event; its bytes must stay as long as its operations. Throws Error{Stop} when
    /// a table or column that it changes is missing here.
    void open(const v1::Transaction& transaction, const CopiedTables& copied);

    /// Gathers operations of the event until there are `most`; false: no more are in it. Changes
    /// that are in a table's copy already are left out.
    bool read(size_t most);
    std::span<const RowOperation> gathered() const { return {operations_.data(), gathered_}; }
    void drop_gathered() { gathered_ = 0; }

    /// "transaction 741 at 0/15F2A98, public.items, key (id = 5)", for errors; the transaction is
    /// the one that was opened last.
    std::string describe(const RowOperation& operation) const;

  private:
    struct Relation {
        RelationShape shape;
        uint32_t mapped = 0;
        bool copied = false;  ///< this transaction is in the table's copy
    };
    void add_relation(const v1::Relation& relation, const v1::Transaction& transaction,
                      const CopiedTables& copied);
    const Relation& relation(uint32_t id) const;
    bool convert(RowOperation& operation);
    void check(const Relation& relation, const RowOperation& operation) const;

    ReplicaSession& session_;
    std::unordered_map<std::string, uint32_t> mapped_;    ///< by the relation's bytes
    std::unordered_map<uint32_t, Relation> relations_;    ///< by id in the event
    std::unordered_map<uint32_t, RelationShape> shapes_;  ///< by the session's number
    std::string place_;
    protocol::ChangeReader reader_{{}};
    protocol::Change change_;
    std::vector<RowOperation> operations_;  ///< reused: only the first `gathered_` count
    size_t gathered_ = 0;
};

/// "transaction 741 at 0/15F2A98", for errors.
std::string describe_place(const v1::Transaction& transaction);

}  // namespace antipode::secondary
