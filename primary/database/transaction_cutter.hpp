#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/seams/database.hpp"
#include "primary/capture.hpp"
#include "protocol/rows.hpp"

namespace antipode::primary {

/// Puts decoded changes together to transactions as they travel: large ones are cut into parts, so
/// that never more than about one part is held, and small ones share a message until it has the
/// size of a part or flush() is called. Each message carries the relations that it uses. Statements
/// that change the structure stand before the rows of their part: a part ends where one follows a
/// row. Transactions without anything to replicate are left out. The schema "antipode" is not
/// replicated: it says where *this* database stands. One thread.
class TransactionCutter {
  public:
    explicit TransactionCutter(size_t part_bytes) : part_bytes_(part_bytes) {}

    /// Decoding starts (again) behind `start`.
    void start(Lsn start);

    /// Takes the next decoded thing (DecodedProgress is none of its business); finished parts are
    /// added to `events`. Throws Error{Retry} when things come in an impossible order.
    void add(const Decoded& decoded, std::vector<DatabaseEvent>& events);

    /// Small transactions that are whole are held until flush().
    bool holds_any() const { return !group_.empty(); }
    /// When the newest of them committed, by the server's clock.
    TimePoint held_from() const { return from_microseconds(group_.message.commit_time_us()); }
    void flush(std::vector<DatabaseEvent>& events);

    /// A transaction without changes that ends at `through`, a place that decoding has passed while
    /// no transaction was open and none is held. It moves the secondaries' positions, and with them
    /// the slot, where nothing is written for long.
    CapturedTransaction pass(Lsn through, TimePoint now);

    /// Where the last whole transaction ends; the start when there was none.
    Lsn end() const { return end_; }
    bool in_transaction() const { return in_transaction_; }

  private:
    struct Table {
        RelationShape shape;
        bool own = false;  ///< in our schema: not replicated
        bool in_part = false;
        bool in_group = false;
    };
    /// Small transactions that will share a message.
    struct Group {
        v1::Transaction message;  ///< but for its changes and relations
        std::string changes;
        std::vector<uint32_t> used;
        bool empty() const { return message.members_size() == 0; }
    };

    void begin(const DecodedBegin& begin);
    void describe(const RelationShape& relation, std::vector<DatabaseEvent>& events);
    void row(const DecodedRow& row, std::vector<DatabaseEvent>& events);
    void truncate(const DecodedTruncate& truncate);
    void change_structure(const DdlStatement& ddl, std::vector<DatabaseEvent>& events);
    void add_sequences(const DecodedSequences& sequences, std::vector<DatabaseEvent>& events);
    void commit(const DecodedCommit& commit, std::vector<DatabaseEvent>& events);
    Table& known(uint32_t relation);
    void use(uint32_t id, Table& table);
    /// Of the open transaction's parts the last one will not come; they begin again behind others.
    void break_off();
    void finish_part(std::vector<DatabaseEvent>& events);
    void join_group(std::vector<DatabaseEvent>& events);

    const size_t part_bytes_;
    std::unordered_map<uint32_t, Table> tables_;
    Lsn end_;

    bool in_transaction_ = false;
    v1::Transaction part_;  ///< of the open transaction, but for its changes, in writer_
    protocol::ChangeWriter writer_;
    std::vector<uint32_t> used_;
    Group group_;
};

}  // namespace antipode::primary
