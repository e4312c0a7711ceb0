#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode::secondary {

struct RowDifference {
    enum class Kind { Missing, Extra, Changed };
    Kind kind = Kind::Changed;
    std::string key;  ///< as PostgreSQL writes it, "(5,x)"
};

/// A chunk whose rows here are not the primary's. Without rows: it was not looked at row by row, or
/// the whole table is not comparable (`problem`).
struct ChunkDifference {
    TableName table;
    uint32_t chunk = 0;
    std::string range;                ///< for people
    std::string problem;              ///< not empty: the table or a column is not here
    std::vector<RowDifference> rows;  ///< the first ones
    uint64_t rows_differing = 0;
};

/// What of a table was compared.
struct ComparedTable {
    uint64_t chunks = 0;
    uint64_t rows = 0;  ///< here
};

struct CheckReport {
    uint64_t tables = 0;
    uint64_t chunks = 0;  ///< that were compared
    uint64_t rows = 0;    ///< here, in tables that were compared whole
    unsigned rounds = 0;
    std::vector<ChunkDifference> differences;
    /// Chunks, by table, that were written to in every round where they differed, or that could not
    /// be read: nothing is known of them. An empty set: the whole table.
    std::map<TableName, std::set<uint32_t>> undecided;
    std::map<TableName, std::string> unreadable;  ///< why, of those among them
    std::string check;                            ///< with differences: the last one's id, open yet
    std::map<TableName, ChunkPlan> plans;
    std::map<TableName, ComparedTable> compared;

    bool equal() const { return differences.empty() && undecided.empty(); }
};

/// Compares the rows of a secondary's database with the primary's, while both go on: chunk by chunk
/// at barriers (secondary/database/barriers.hpp), and row by row where chunks differ. Rows that
/// were just written are compared again at the next barrier. Nothing is locked but tables while
/// they are read, and apply waits only for a snapshot to be taken. A table that cannot be read
/// holds up no other.
///
/// One thread. Errors: Retry (the primary or the server is away, apply is behind), Stop.
class DatabaseCheck {
  public:
    struct Options {
        StoreId store;
        unsigned rounds = 10;
        std::chrono::milliseconds wait{600'000};  ///< for apply to reach a barrier
        uint32_t chunks_by_row = 64;              ///< of a table at most are looked at row by row
        size_t rows_named = 20;                   ///< of a chunk
    };
    /// `primary`: its bulk service. All outlive this object.
    DatabaseCheck(Options options, BulkSource& primary, ReplicaReader& reader, Barriers& barriers);

    /// `tables`: only these; empty: all. Where something differs the last check stays open on the
    /// primary until the next run or the destructor, for what mends it and cuts tables alike.
    CheckReport run(const std::set<TableName>& tables, const std::stop_token& stop);

  private:
    /// False: the barriers did not serve.
    bool begin_round(const std::stop_token& stop);
    void compare(const TableName& table, const std::set<uint32_t>& chunks, CheckReport& report);
    void compare_digests(const TableName& table, const std::set<uint32_t>& chunks,
                         CheckReport& report);
    void compare_rows(const ChunkPlan& plan, const std::set<uint32_t>& differing);
    void compare_keys(const ChunkPlan& plan, const KeyDigests& there, const KeyDigests& here,
                      const TouchedKeys& touched);
    ChunkDifference& difference(const ChunkPlan& plan, uint32_t chunk);

    const Options options_;
    BulkSource& bulk_;
    ReplicaReader& reader_;
    Barriers& barriers_;
    std::unique_ptr<PrimaryCheck> primary_;            ///< this round's
    Touched touched_;                                  ///< at this round's barrier
    std::map<TableName, std::set<uint32_t>> pending_;  ///< for the next round
    std::map<std::pair<TableName, uint32_t>, ChunkDifference> differences_;
    std::string problem_;  ///< of the last round's barriers
};

}  // namespace antipode::secondary
