#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"

/// PostgreSQL as the database lane sees it. The primary reads decoded changes (ChangeSource), looks
/// at and sets up the server (SourceControl) and reads tables (SourceExport); the secondary writes
/// (ReplicaSession). Implemented by adapters/postgres, and in memory by simulations. No SQL crosses
/// this border. Each object belongs to one thread unless a function says otherwise.
namespace antipode {

/// Schema and table; any bytes but NUL. Not quoted.
struct TableName {
    std::string schema;
    std::string table;
    auto operator<=>(const TableName&) const = default;
    std::string to_string() const { return schema + "." + table; }
};

/// Rows of one table whose key lies in (after, up_to]; without a column: all rows.
struct KeyRange {
    std::string column;  ///< an integer column that is the table's only unique key
    std::optional<int64_t> after;
    std::optional<int64_t> up_to;
    bool operator==(const KeyRange&) const = default;
    bool whole() const { return column.empty(); }
    bool contains(int64_t key) const {
        return (!after || key > *after) && (!up_to || key <= *up_to);
    }
};

/// What is read of a table for a new secondary.
struct CopyRequest {
    TableName table;
    KeyRange range{};
    /// The receiving server's major version: rows may come in COPY's binary format when the sending
    /// one is the same. 0: as text.
    int binary_for = 0;
};

struct ColumnShape {
    std::string name;
    uint32_t type_oid = 0;
    int32_t type_modifier = -1;
    bool key = false;  ///< part of the replica identity
    bool operator==(const ColumnShape&) const = default;
};

/// A table as decoding describes it before its first change. Columns are those that are sent, in
/// the order of their values.
struct RelationShape {
    uint32_t id = 0;
    TableName name;
    char replica_identity = 'd';  ///< pg_class.relreplident
    std::vector<ColumnShape> columns;
};

/// One change of the database's structure (DDL), as a mirror runs it.
struct DdlStatement {
    struct Setting {
        std::string name;
        std::string value;
    };
    /// What rows that were there got in a new column whose default is not the same everywhere.
    struct Fill {
        TableName table;
        std::string column;
        std::string value;
    };
    std::string sql;                   ///< one statement
    std::string tag;                   ///< "CREATE TABLE"
    std::vector<std::string> objects;  ///< what it changed, as PostgreSQL writes their names
    std::string role;                  ///< that ran it
    std::vector<Setting> settings;     ///< search_path and others that change its meaning
    std::vector<Fill> fills;
    std::string problem;  ///< not empty: why a mirror cannot run it
    std::string place;    ///< which one of its transaction: names it when it is run by hand
    /// Not empty: it can in spite of `problem`, and copies these tables again afterwards.
    std::vector<TableName> copies;
};

/// Where a sequence stands: what nextval() returned last, or will return next (`called` is false).
struct SequenceValue {
    TableName name;
    int64_t value = 0;
    bool called = false;
    bool operator==(const SequenceValue&) const = default;
};
/// The same as it travels to a mirror.
struct SequenceState {
    SequenceValue at;
    /// The mirror's is set to this, back too; else it is only moved on to it.
    bool exact = false;
};

/// A place in the stream of a database that a check asked for, alone in its transaction.
/// Transactions that `snapshot` sees stand before it.
struct DecodedBarrier {
    std::string check;     ///< the id that the asking site has given
    std::string snapshot;  ///< pg_current_snapshot(); empty: one follows, behind this place
};

// ---- Primary: decoded changes ----

/// `commit_lsn` may be an earlier place than the commit's, one behind which nothing else has
/// committed before it, and `commit_time` about when it was.
struct DecodedBegin {
    uint32_t xid = 0;
    Lsn commit_lsn;
    TimePoint commit_time;
};
struct DecodedRow {
    enum class Kind { Insert, Update, Delete };
    Kind kind = Kind::Insert;
    uint32_t relation = 0;
    char old_kind = 0;         ///< 'K', 'O', or 0 when there is no old row
    std::string_view old_row;  ///< TupleData bytes, valid until the next call of next()
    std::string_view new_row;
};
struct DecodedTruncate {
    std::vector<uint32_t> relations;
    bool cascade = false;
    bool restart_identity = false;
};
/// What a SequencePublisher wrote.
struct DecodedSequences {
    std::vector<SequenceState> states;
};
struct DecodedCommit {
    Lsn commit_lsn;  ///< as its Begin had it
    Lsn end_lsn;
    TimePoint commit_time;
};
/// Another transaction comes first: what was handed out since the last Begin comes again, with a
/// Begin of its own and maybe another place, once it is its turn.
struct DecodedBreakOff {};
/// Everything that commits at or below `lsn` was handed out before.
struct DecodedProgress {
    Lsn lsn;
    bool wants_status = false;  ///< the server waits for send_status()
};
using Decoded = std::variant<DecodedBegin, RelationShape, DecodedRow, DecodedTruncate, DdlStatement,
                             DecodedSequences, DecodedBarrier, DecodedCommit, DecodedBreakOff,
                             DecodedProgress>;

/// Changes of committed transactions, in commit order but for those that a DecodedBreakOff takes
/// back, from a replication slot.
class ChangeSource {
  public:
    virtual ~ChangeSource() = default;

    /// Connects and begins after the slot's confirmed position, which is returned. Throws
    /// Error{Retry} when the server or the slot cannot be had now, Error{Stop} when never.
    virtual Lsn start() = 0;
    /// Ends the connection (no effect without one).
    virtual void stop() = 0;

    /// The next thing decoded; nullopt when nothing came within `wait`, or wake() was called.
    virtual std::optional<Decoded> next(std::chrono::milliseconds wait) = 0;

    /// Tells the server that the slot need not keep what commits at or below `confirmed`, and that
    /// this side is alive. `ask`: have it tell how far decoding has come (a DecodedProgress).
    virtual void send_status(Lsn confirmed, bool ask) = 0;

    /// Ends a waiting next(), or the coming one, early. Any thread.
    virtual void wake() = 0;
};

// ---- Primary: the server, its settings and what replication needs of it ----

/// "15.4" of 150004, as libpq counts versions.
inline std::string server_version_text(int version) {
    return std::to_string(version / 10000) + "." + std::to_string(version % 10000);
}

/// One published or publishable table and how its rows can be told apart.
struct SourceTable {
    TableName name;
    char replica_identity = 'd';
    bool identity_usable = false;          ///< updates and deletes can be published
    std::optional<std::string> candidate;  ///< a unique index that could be the identity
    bool published = false;
    bool owned = false;  ///< this role may alter it
};

struct SourceFacts {
    int server_version = 0;  ///< 150004
    std::string role;
    bool superuser = false;
    bool may_publish = false;  ///< all tables
    bool may_replicate = false;
    bool in_recovery = false;
    std::string wal_level;
    int slots_used = 0;
    int slots_most = 0;
    int senders_used = 0;
    int senders_most = 0;

    struct Slot {
        std::string plugin;
        std::string database;
        std::string wal_status;  ///< reserved, extended, unreserved, lost
        bool active = false;
        Lsn confirmed;
        uint64_t retained_bytes = 0;  ///< of log that the server keeps because of it
        /// How much more may be written until it is lost; nullopt: no limit is set.
        std::optional<int64_t> safe_wal_bytes{};
        Lsn wal_end{};
        int server_version = 0;  ///< as below
    };
    std::optional<Slot> slot;
    std::string synchronous_standby_names;
    bool log_is_capped = false;  ///< max_slot_wal_keep_size is set
    /// Of a server of this machine, where the role may know it; else empty.
    std::string data_directory;
    std::string database;

    struct Publication {
        bool all_tables = false;
        bool all_operations = false;  ///< insert, update, delete, truncate
        bool via_root = false;
        bool filtered = false;  ///< row filters or column lists
        std::string slot_made;  ///< the slot that was made with it; empty: none yet
        bool owned = false;     ///< this role may alter it
    };
    std::optional<Publication> publication;
    std::vector<SourceTable> tables;  ///< without the schema "antipode"
    std::vector<TableName> unreadable_sequences;
    bool ddl_captured = false;   ///< the event triggers are there and enabled
    bool large_objects = false;  ///< there are some
};

/// Errors: Retry when the server is away; Stop with the server's words when it refuses.
class SourceControl {
  public:
    virtual ~SourceControl() = default;
    virtual SourceFacts facts() = 0;
    // Only the parts of facts() that change while capture runs.
    virtual std::vector<SourceTable> tables_without_identity() = 0;
    virtual std::optional<SourceFacts::Slot> slot() = 0;
    /// `index`: that unique index; nullopt: the whole row.
    virtual void set_identity(const TableName& table, const std::optional<std::string>& index) = 0;
    virtual void create_publication() = 0;
    virtual void create_slot() = 0;
    /// Records on the publication that its slot was made, so that its loss is noticed later.
    virtual void record_slot() = 0;
    /// Drops the slot, if it is there, and the record of it: the next start of capture makes a new
    /// one. What only the old one held is lost.
    virtual void give_up_slot() = 0;
};

/// Where the write-ahead log ends.
class WalPosition {
  public:
    virtual ~WalPosition() = default;
    /// Whatever committed before the call ends at or below; it is flushed, so that decoding gets
    /// there.
    virtual Lsn flushed_end() = 0;
};

/// Writes where sequences stand into the log, in its place between the rows: decoding says nothing
/// of them. Thread-safe. Errors as SourceControl's.
class SequencePublisher {
  public:
    virtual ~SequencePublisher() = default;
    /// Those that moved since they were written last; now and then all that were ever used.
    virtual void publish_moved() = 0;
    /// All. `exact`: nobody uses them any more, so that mirrors may be set to just this. Returns
    /// where the log ended afterwards: decoding that has passed it has handed them out.
    virtual Lsn publish_all(bool exact) = 0;
};

// ---- Primary: reading tables for a new secondary ----

/// Bytes read front to back; 0 at the end.
class ByteReader {
  public:
    virtual ~ByteReader() = default;
    virtual size_t read(std::span<char> buffer) = 0;
};

/// A table's rows under one snapshot, in COPY's text or binary format.
class TableReader : public ByteReader {
  public:
    /// pg_current_snapshot() of the rows.
    virtual const std::string& snapshot() const = 0;
    /// Where the log ended after the snapshot was taken: what commits above is not in it.
    virtual Lsn wal_end() const = 0;
    virtual const std::vector<std::string>& columns() const = 0;
    /// Of the columns; empty: the format is text.
    virtual const std::vector<uint32_t>& binary_types() const = 0;
};

/// What a script of the schema holds.
enum class SchemaSection {
    Before,  ///< what tables need to be filled: types, functions, tables
    After,   ///< indexes, constraints, triggers
    Finish,  ///< foreign keys, which hold only once all tables stand at one place
};

struct TableEstimate {
    TableName name;
    uint64_t rows = 0;
    uint64_t bytes = 0;
};

/// What a snapshot sees; what commits above `wal_end` is not in it.
struct SnapshotPlace {
    std::string snapshot;  ///< pg_current_snapshot()
    Lsn wal_end;
};

/// Thread-safe: each call works on a connection of its own.
class SourceExport {
  public:
    virtual ~SourceExport() = default;
    /// The slot's confirmed position; nullopt while there is no slot: nothing may be copied yet.
    virtual std::optional<Lsn> confirmed() = 0;
    /// A place before which everything is in what schema() gives from now on.
    virtual SnapshotPlace snapshot() = 0;
    /// `only`: of this table and what belongs to it.
    virtual std::unique_ptr<ByteReader> schema(SchemaSection section,
                                               const std::optional<TableName>& only) = 0;
    virtual std::vector<TableEstimate> tables() = 0;
    /// Cuts a table into ranges of about `part_bytes` that may be copied under a snapshot each: it
    /// has one unique key, an integer, along which its rows lie. Else one range, the whole.
    virtual std::vector<KeyRange> ranges(const TableName& table, uint64_t part_bytes) = 0;
    virtual std::vector<SequenceValue> sequences() = 0;
    /// nullptr: there is no such table.
    virtual std::unique_ptr<TableReader> copy(const CopyRequest& request) = 0;
};

// ---- Secondary ----

struct ChunkPlan;                                     // base/seams/chunks.hpp
struct TouchedRows;                                   // base/seams/chunks.hpp
struct MendedRows;                                    // base/seams/chunks.hpp
struct RowsDigest;                                    // base/seams/chunks.hpp
class StructureEditor;                                // base/seams/structure.hpp
using ChunkDigests = std::map<uint32_t, RowsDigest>;  ///< chunks without rows may be left out

enum class CopyPhase {
    None,     ///< nothing of the initial copy is here
    Tables,   ///< tables exist and are being filled
    Compare,  ///< transactions are lost: tables are compared with the primary's and mended
    Finish,   ///< all rows are here; foreign keys follow once apply has passed every snapshot
    Complete
};

/// A table, or a range of its rows, as it was copied.
struct CopiedTable {
    TableName name;
    std::string snapshot;
    Lsn wal_end;
    KeyRange range{};
};

/// A table whose rows are copied again, because a change of its structure gave them values that
/// differ on each server.
struct AwaitedTable {
    TableName name;       ///< as it is called here now
    bool copied = false;  ///< done, under a snapshot that still matters
};

/// What begins a COPY into a table.
struct CopyBeginning {
    CopiedTable copied;
    std::vector<std::string> columns;
    std::vector<uint32_t> binary_types{};  ///< empty: the rows come as text
};

/// An operator's decision: the transaction that commits there, at which apply stands, is left out.
struct SkipRequest {
    Lsn lsn;
    std::optional<TableName> table;  ///< only its changes; nullopt: the whole transaction
    bool repair = true;              ///< the tables are copied again
    std::string asked_by;
    std::string asked_at;
};
/// What became of it.
struct SkippedTransaction {
    SkipRequest request;
    uint32_t xid = 0;
    std::vector<TableName> tables;
    uint64_t changes = 0;
    std::string keys;  ///< "update public.items (id = 5)", a line each
};

/// What a replicated database remembers about itself.
struct ReplicaState {
    Position position;
    Lsn lsn;
    uint64_t transactions = 0;
    CopyPhase phase = CopyPhase::None;
    bool schema_was_here = false;  ///< the operator made the tables; After and Finish are his
    std::string after_script;      ///< of the schema as it was when the copy began; until it is run
    std::string finish_script;
    /// Only while a snapshot still matters; the schema's under the empty name.
    std::vector<CopiedTable> tables;
    std::vector<SkipRequest> skips;
    std::vector<TableName> to_repair;  ///< to be copied again, alone
    std::vector<AwaitedTable> awaited{};
};

struct Field {
    enum class Kind : char { Null = 'n', Unchanged = 'u', Text = 't' };
    Kind kind = Kind::Null;
    std::string_view text;
};

/// One change of one row, or a truncation. Fields stand in the order of the mapped relation's
/// columns.
struct RowOperation {
    enum class Kind { Insert, Update, Delete, Truncate };
    Kind kind = Kind::Insert;
    uint32_t relation = 0;  ///< what map() returned
    bool has_old = false;   ///< else an update finds its row by the key in new_row
    std::vector<Field> old_row;
    std::vector<Field> new_row;
    std::vector<uint32_t> truncated;
    bool restart_identity = false;
};

/// Why a row operation could not be done. Not for lost connections and the like: those throw Retry.
struct RowProblem {
    enum class Kind {
        NotFound,  ///< no row, or more than one, has this identity
        Refused,   ///< constraint, type, missing column, privilege: PostgreSQL's words in `text`
    };
    size_t index = 0;  ///< into the operations of one call
    Kind kind = Kind::Refused;
    std::string text;
};

struct MappedRelation {
    uint32_t relation = 0;
    std::string problem;  ///< not empty: there is no such table or column here
    bool no_table = false;
};

struct LocalTable {
    TableName name;
    bool empty = false;
    bool of_extension = false;  ///< came with an extension, rows included
};

/// A writing session. The database has at most one: a second one waits, then ends what an earlier
/// incarnation of this one left behind. Connects on first use; after any exception the connection
/// is gone, what was not committed is rolled back, and mapped relations are forgotten. Errors:
/// Retry (connection, locks, disk), Stop (unmet needs, with their remedy).
class ReplicaSession {
  public:
    virtual ~ReplicaSession() = default;

    /// Connects if there is no connection, and reads what the database remembers.
    virtual ReplicaState load() = 0;

    virtual void begin() = 0;
    virtual void commit() = 0;
    /// Never throws: a session that cannot roll back is disconnected.
    virtual void rollback() noexcept = 0;

    // All below: between begin() and commit().
    virtual MappedRelation map(const RelationShape& relation) = 0;
    /// Does the operations in order, and may go on with it behind this call, beside a caller who
    /// gathers the next ones: these, and what their fields refer to, stay until settle() or another
    /// call of this. Returns the problem of those before, and then does nothing. A problem makes
    /// the transaction unusable: roll back.
    virtual std::optional<RowProblem> apply(std::span<const RowOperation> operations) = 0;
    /// Waits until the operations that were handed over are done: before everything else but
    /// rollback(). Returns their problem.
    virtual std::optional<RowProblem> settle() = 0;
    /// Runs the statement as its role and with its settings. What was mapped before is forgotten.
    /// Throws Error{Stop} with the server's words and the next step when it refuses.
    virtual void run_ddl(const DdlStatement& statement) = 0;
    /// Sequences that are not here are passed over.
    virtual void follow_sequences(std::span<const SequenceState> states) = 0;
    virtual void save_position(const Position& position, Lsn lsn, uint64_t transactions) = 0;
    /// Everything of `state` but the tables.
    virtual void save(const ReplicaState& state) = 0;
    virtual void forget_tables() = 0;
    /// The table's rows are to be copied again, and what is remembered of an earlier copy is
    /// forgotten. Follows the table when it is renamed; a copy that is begun ends it.
    virtual void await_copy(const TableName& table) = 0;
    virtual std::vector<AwaitedTable> awaited() = 0;
    /// Of a table whose rows are here, or under the empty name of the schema.
    virtual void remember_copied(const CopiedTable& table) = 0;

    virtual std::vector<LocalTable> tables() = 0;
    virtual void run_script(const std::string& sql) = 0;
    /// The structure as it is here, as SourceExport gives the primary's, but for its sequel.
    virtual std::string schema(SchemaSection section) = 0;
    virtual ChunkDigests digests(const ChunkPlan& plan) = 0;
    virtual void set_sequence(const SequenceValue& sequence) = 0;
    /// COPY into a table: begin_copy, copied bytes in COPY's format, end_copy, which returns the
    /// number of rows. Begun, it is remembered as copied, once and no more: a second begin of the
    /// same waits, then throws. False: the rows cannot come in the binary format.
    virtual bool begin_copy(const CopyBeginning& beginning) = 0;
    virtual void copy_bytes(std::string_view bytes) = 0;
    virtual uint64_t end_copy() = 0;
    /// Empties a table that was copied, and forgets that it was; false: there is no such table.
    virtual bool clear_copied(const TableName& table) = 0;
    /// A table that the primary has no more under this name cannot be copied again: its rows stay,
    /// and the record of what was skipped says so. False: there is no such table here.
    virtual bool give_up_repair(const TableName& table) = 0;

    /// Ends the request, keeps the record, and has the tables copied again when that was asked for.
    virtual void record_skip(const SkippedTransaction& skipped) = 0;

    /// Makes rows of a table equal to the primary's: begin_mend, then the primary's rows of the
    /// chunks in COPY's text format, each piece whole lines, then end_mend. Rows in `touched` stay
    /// as they are. Throws Error{Retry} when those cannot be told apart.
    virtual void begin_mend(const ChunkPlan& plan) = 0;
    virtual void mend_bytes(std::string_view bytes) = 0;
    virtual MendedRows end_mend(const std::set<uint32_t>& chunks, const TouchedRows& touched) = 0;

    /// Has `edit` change the structure. What was mapped before is forgotten.
    virtual void edit_structure(const std::function<void(StructureEditor&)>& edit) = 0;

    // Any time after load().
    /// Outside of a transaction: where apply stands, for the operator who decides.
    virtual void note_stopped(Lsn commit_lsn, const std::string& problem) = 0;
    /// For CopyRequest::binary_for.
    virtual int server_major() = 0;
    /// A session that copies tables beside this one, for another thread. It is of no use once this
    /// one has lost its connection.
    virtual std::unique_ptr<ReplicaSession> beside() = 0;
};

}  // namespace antipode
