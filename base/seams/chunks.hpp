#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/seams/database.hpp"
#include "base/seams/large_objects.hpp"
#include "base/seams/structure.hpp"

/// Tables in chunks, as both sites compare them. Implemented by adapters/postgres; the texts of the
/// bulk service are those of protocol/chunk_text.hpp.
namespace antipode {

/// How a table is cut into chunks. Made on the primary; what it says holds on every server,
/// whatever its collations, so that both cut alike.
struct ChunkPlan {
    TableName table;
    /// Of the digest: all but generated ones, in the order of their names' bytes.
    std::vector<std::string> columns;
    /// Tells rows apart: the columns of the replica identity or primary key; all, without one.
    std::vector<std::string> key;
    bool whole_row = false;  ///< `key` is all columns; equal rows may be there several times
    /// Type of the only key column when the chunks are its ranges: chunk n holds what is at or
    /// above bounds[n - 1] and below bounds[n]. Empty: chunks are buckets of the key's hash.
    std::string range_type;
    std::vector<std::string> bounds;
    uint32_t buckets = 1;

    /// "id >= 10001 and id < 20001", "bucket 3 of 16 by hash of (name)", for people.
    std::string describe(uint32_t chunk) const;
    uint32_t chunks() const {
        return range_type.empty() ? buckets : static_cast<uint32_t>(bounds.size()) + 1;
    }
};

/// The digest "rows-2" of rows: how many they are, and the sum of hashtextextended(text of the row,
/// 0) over them, in decimal. Unlike an XOR the sum sees pairs of equal rows.
struct RowsDigest {
    uint64_t rows = 0;
    std::string sum = "0";
    bool operator==(const RowsDigest&) const = default;
};
inline constexpr const char* rows_digest_name = "rows-2";

/// Rows with one key; more than one only in tables without a key.
struct KeyDigest {
    uint32_t chunk = 0;
    std::string label;  ///< the key as PostgreSQL writes it, cut
    RowsDigest digest;
};
using KeyDigests = std::map<int64_t, KeyDigest>;  ///< by hash of the key

struct ChunkedTable {
    ChunkPlan plan;
    ChunkDigests digests;
};

/// Rows of a table that changes touched, by the columns that a change names: those of the replica
/// identity, or all.
struct TouchedRows {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;
    bool all = false;  ///< the whole table: truncated, or more than what is kept
};

/// Where touched rows stand in a plan's chunks.
struct TouchedKeys {
    std::set<uint32_t> chunks;
    std::set<int64_t> keys;
    bool all = false;
};

/// What was done to make chunks equal.
struct MendedRows {
    uint64_t removed = 0;
    uint64_t added = 0;
};

/// A table, or what else a check looks at, cannot be read now, while the rest can: it is locked,
/// damaged, forbidden.
class Unreadable : public Error {
  public:
    explicit Unreadable(const std::string& what) : Error(Reaction::Retry, what) {}
};

// ---- Primary ----

/// A snapshot of a primary's database, held while the object is there. Its barriers have been
/// written to the log: one before the snapshot was taken, one with it just after. What takes long
/// ends with Stopped when its token fires. Thread-safe. Errors: Retry, Stop, Unreadable.
class SourceCheck {
  public:
    virtual ~SourceCheck() = default;
    virtual const std::string& snapshot() const = 0;  ///< pg_current_snapshot()
    /// Where the log ended after it was taken: what commits above is not in it.
    virtual Lsn wal_end() const = 0;
    /// It is still wanted: one that is not used for some minutes ends.
    virtual void keep() = 0;
    /// Cuts tables as `other` did, and not anew: chunks keep their numbers.
    virtual void cut_as(const SourceCheck& other) = 0;
    virtual std::optional<ChunkPlan> plan(const TableName& table) const = 0;
    virtual std::vector<TableName> tables() = 0;
    /// As it was between the barriers; nullptr: it was not asked for.
    virtual const Structure* structure() const = 0;
    virtual const Recipes* recipes() const = 0;  ///< as above
    virtual std::vector<LargeObject> large_objects(const std::stop_token& stop) = 0;
    /// Its pages, as lines "offset<TAB>hex".
    virtual std::unique_ptr<ByteReader> large_object(uint32_t oid) = 0;
    /// Of these chunks only, unless it is empty. nullopt: the table is not in the snapshot, or not
    /// readable in it any more because it was rewritten or truncated since.
    virtual std::optional<ChunkedTable> digests(const TableName& table,
                                                const std::set<uint32_t>& chunks,
                                                const std::stop_token& stop) = 0;
    /// Below: of tables that were cut before; nullopt and nullptr as above.
    virtual std::optional<KeyDigests> keys(const TableName& table, const std::set<uint32_t>& chunks,
                                           const std::stop_token& stop) = 0;
    virtual std::unique_ptr<ByteReader> copy(const TableName& table,
                                             const std::set<uint32_t>& chunks) = 0;
};

/// What a check reads: rows alone; the structure between its barriers, too; also how that is made.
enum class CheckReads { Rows, Definitions, AlsoRecipes };

/// Thread-safe.
class SourceChecks {
  public:
    virtual ~SourceChecks() = default;
    /// `id`: names the check in its barriers.
    virtual std::shared_ptr<SourceCheck> open(const std::string& id, CheckReads read) = 0;
};

// ---- Secondary ----

/// Reads a replicated database as it is at one moment. One thread at a time. Errors: Retry, Stop,
/// Unreadable.
class ReplicaReader {
  public:
    virtual ~ReplicaReader() = default;
    /// What is read then ends with Stopped when `stop` fires.
    virtual void connect(const std::stop_token& stop) = 0;
    /// That moment is now; nothing else is read or done. Quick.
    virtual void take_snapshot() = 0;
    /// Now; the caller sees to it that it does not change meanwhile.
    virtual Structure structure() = 0;
    /// Not empty: the plan's table or a column of it is not here.
    virtual std::string problem(const ChunkPlan& plan) = 0;
    /// As SourceCheck's, cut as the plan says.
    virtual std::optional<ChunkDigests> digests(const ChunkPlan& plan,
                                                const std::set<uint32_t>& chunks) = 0;
    virtual std::optional<KeyDigests> keys(const ChunkPlan& plan,
                                           const std::set<uint32_t>& chunks) = 0;
    virtual TouchedKeys find(const ChunkPlan& plan, const TouchedRows& touched) = 0;
};

}  // namespace antipode
