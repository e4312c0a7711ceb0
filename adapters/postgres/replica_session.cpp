#include "adapters/postgres/replica_session.hpp"

#include <array>
#include <future>

#include <libpq-fe.h>

#include "adapters/postgres/awaited_copy.hpp"
#include "adapters/postgres/chunk_mend.hpp"
#include "adapters/postgres/chunk_sql.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/ddl_run.hpp"
#include "adapters/postgres/quiet_tables.hpp"
#include "adapters/postgres/replica_bookkeeping.hpp"
#include "adapters/postgres/row_sets.hpp"
#include "adapters/postgres/schema_dump.hpp"
#include "adapters/postgres/script_order.hpp"
#include "adapters/postgres/sequence_raises.hpp"
#include "adapters/postgres/skip_log.hpp"
#include "adapters/postgres/structure_editor.hpp"
#include "adapters/postgres/table_fill.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* lock_not_available = "55P03";
constexpr const char* insufficient_privilege = "42501";
constexpr const char* lacks_rights =
    "as a superuser, here: antipode database setup --owner ROLE --url URL for each role that owns "
    "something on the primary; CREATE EXTENSION for those that only a superuser may create; the "
    "database's owner as on the primary (ALTER DATABASE name OWNER TO role)";

/// Triggers and rules of the source have fired there. Rows are found by index wherever there is
/// one, whatever the statistics of a young table say.
constexpr const char* session_settings = R"(
    SET session_replication_role = replica; SET synchronous_commit = on;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET jit = off; SET check_function_bodies = off)";
/// Scripts of the schema check whole tables (foreign keys).
constexpr const char* script_settings =
    "RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin; "
    "SELECT set_config('maintenance_work_mem', '256MB', false) "
    "WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('256MB')";
/// So many operations take the server longer than it takes to start a thread.
constexpr size_t worth_a_thread = 1000;

/// What such a session writes is lost together with the note that it was copied.
constexpr const char* beside_settings = "SET synchronous_commit = off";

constexpr std::array<std::pair<CopyPhase, const char*>, 5> phase_names = {
    {{CopyPhase::None, "none"},
     {CopyPhase::Tables, "tables"},
     {CopyPhase::Compare, "compare"},
     {CopyPhase::Finish, "finish"},
     {CopyPhase::Complete, "complete"}}};

const char* to_text(CopyPhase phase) {
    return phase_names.at(static_cast<size_t>(phase)).second;
}

CopyPhase phase_of(std::string_view text) {
    for (const auto& [phase, name] : phase_names) {
        if (text == name) {
            return phase;
        }
    }
    throw Error(Reaction::Stop, "antipode.replica holds an unknown phase",
                "install the version of Antipode that wrote it, or a later one");
}

}  // namespace

struct ReplicaWriter::State {
    Options options;
    std::optional<Connection> connection;
    std::optional<RowSets> sets;
    QuietTables quiet;
    SequenceRaises raises;
    std::unique_ptr<TableFill> fill;
    std::optional<ChunkMend> mend;
    RowSets::Batch batch;  ///< what was handed over
    /// Of the batch, until somebody has waited for it: it has the connection. Last: it ends first.
    std::future<std::optional<RowProblem>> running;

    std::optional<RowProblem> wait_for_rows();
    void connect();
    void take_lock();
    void limit_waits();
    void end_earlier_session();
    ReplicaState read();
    void begin_structure();
    void settle();
    void end_structure();
    Connection& connected() {
        if (running.valid()) {
            throw Error(Reaction::Retry, "nobody has waited for the rows that are being applied");
        }
        if (!connection) {
            throw Error(Reaction::Retry, "the session with the database is gone");
        }
        return *connection;
    }
    TableFill& filling() {
        if (!fill) {
            throw Error(Reaction::Retry, "the session with the database is gone");
        }
        return *fill;
    }
    RowSets& writing() {
        if (!sets) {
            throw Error(Reaction::Retry, "the session with the database is gone");
        }
        return *sets;
    }
    ChunkMend& mending() {
        if (!mend) {
            throw Error(Reaction::Retry, "the session with the database is gone");
        }
        return *mend;
    }
    TableFill::Place place() { return {connected(), options.store, options.writer}; }
    Rows query(const std::string& doing, const std::string& sql,
               const Parameters& parameters = {}) {
        return connected().query(doing, sql, parameters);
    }
    void disconnect() noexcept {
        running = {};  // ends first
        fill.reset();
        mend.reset();
        sets.reset();
        quiet = {};
        connection.reset();
    }
};

/// After a failure nobody knows what the connection is in the middle of.
template <typename Use>
auto ReplicaWriter::guarded(Use use) {
    try {
        return use();
    } catch (...) {
        state_->disconnect();
        throw;
    }
}

ReplicaWriter::ReplicaWriter(Options options) : state_(std::make_unique<State>()) {
    state_->options = std::move(options);
}
ReplicaWriter::~ReplicaWriter() = default;

void ReplicaWriter::State::connect() {
    connection.emplace(options.url, options.application_name);
    try {
        connection->execute("preparing the session", session_settings);
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "let the role apply changes without firing triggers: GRANT SET ON PARAMETER "
                    "session_replication_role TO role (15 and newer), or a superuser");
    }
    if (options.writer != 0) {
        limit_waits();
        connection->execute("preparing the session", beside_settings);
        return;
    }
    take_lock();
    // What an earlier incarnation copied beside its writing session may still be at it.
    end_earlier_session();
    create_bookkeeping(*connection);
    sets.emplace(*connection);
    raises.forget();
}

void ReplicaWriter::State::take_lock() {
    const std::string sql = std::string("SELECT pg_advisory_lock(") + writers_lock + ")";
    const auto taken = [&](const char* timeout) {
        connection->execute("preparing the session",
                            std::string("SET lock_timeout = '") + timeout + "'");
        try {
            connection->query("taking the lock of the writing session", sql);
            return true;
        } catch (const SqlError& error) {
            if (error.sqlstate() != lock_not_available) {
                throw;
            }
            return false;
        }
    };
    if (!taken("1s")) {
        // An earlier incarnation may sit in a transaction that nobody will end: its machine is
        // gone, or the network between.
        end_earlier_session();
        if (!taken("3s")) {
            throw Error(Reaction::Retry,
                        "another session of Antipode writes to the secondary's database",
                        "stop the other antipoded of this store (SELECT * FROM pg_stat_activity)");
        }
    }
    limit_waits();
}

/// After the settings were pinned, which know no limit.
void ReplicaWriter::State::limit_waits() {
    connection->execute("preparing the session",
                        "SET lock_timeout = " + std::to_string(options.lock_timeout.count()));
}

void ReplicaWriter::State::end_earlier_session() {
    connection->query("ending an earlier session",
                      "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a "
                      "WHERE a.datname = current_database() AND a.usename = current_user "
                      "AND a.application_name = left($1, 63) AND a.pid <> pg_backend_pid()",
                      {options.application_name});
}

ReplicaState ReplicaWriter::State::read() {
    ReplicaState state;
    const Rows rows = connection->query(
        "reading the position",
        "SELECT epoch, session, number, lsn, transactions, phase, schema_was_here, "
        "after_script, finish_script "
        "FROM antipode.replica WHERE store = $1",
        {options.store});
    if (rows.size() == 0) {
        return state;
    }
    state.position = {static_cast<uint64_t>(rows.integer(0, 0)),
                      static_cast<uint64_t>(rows.integer(0, 1)),
                      static_cast<uint64_t>(rows.integer(0, 2))};
    state.lsn = Lsn::parse(rows.text(0, 3)).value_or(Lsn{});
    state.transactions = static_cast<uint64_t>(rows.integer(0, 4));
    state.phase = phase_of(rows.text(0, 5));
    state.schema_was_here = rows.boolean(0, 6);
    state.after_script = rows.string(0, 7);
    state.finish_script = rows.string(0, 8);
    state.tables = read_copied(*connection, options.store);
    read_skips(*connection, options.store, state);
    state.awaited = read_awaited(*connection, options.store);
    return state;
}

ReplicaState ReplicaWriter::load() {
    return guarded([&] {
        if (!state_->connection) {
            state_->connect();
        }
        return state_->read();
    });
}

void ReplicaWriter::begin() {
    guarded([&] {
        state_->raises.drop();
        state_->connected().execute("beginning a transaction", "BEGIN");
    });
}
void ReplicaWriter::commit() {
    guarded([&] {
        state_->quiet.restore(state_->connected());
        state_->connected().execute("committing", state_->raises.take_sql() + "COMMIT");
    });
}
void ReplicaWriter::rollback() noexcept {
    state_->running = {};  // ends first
    state_->quiet.forget();
    try {
        if (state_->connection) {
            state_->connection->execute("rolling back", "ROLLBACK");
        }
    } catch (...) {
        state_->disconnect();
    }
}

MappedRelation ReplicaWriter::map(const RelationShape& relation) {
    return guarded([&]() -> MappedRelation {
        std::string problem;
        auto table = TargetTable::find(state_->connected(), relation, problem);
        if (!table) {
            const Rows there =
                state_->query("looking up " + relation.name.to_string(),
                              "SELECT to_regclass($1) IS NULL", {qualified(relation.name)});
            return {0, problem, there.boolean(0, 0)};
        }
        const uint32_t mapped = state_->sets->add(*table);
        state_->quiet.add(mapped, *table);
        state_->raises.add(state_->connected(), mapped, table->oid(), relation);
        return {mapped, {}, false};
    });
}

std::optional<RowProblem> ReplicaWriter::apply(std::span<const RowOperation> operations) {
    return guarded([&]() -> std::optional<RowProblem> {
        RowSets::Batch next = state_->writing().prepare(operations);
        if (auto problem = state_->wait_for_rows()) {
            return problem;
        }
        state_->quiet.silence(state_->connected(), operations);
        state_->batch = std::move(next);
        const bool beside = operations.size() >= worth_a_thread;
        state_->running =
            std::async(beside ? std::launch::async : std::launch::deferred,
                       [state = state_.get()] { return state->sets->run(state->batch); });
        return std::nullopt;
    });
}

std::optional<RowProblem> ReplicaWriter::settle() {
    return guarded([&] { return state_->wait_for_rows(); });
}

std::optional<RowProblem> ReplicaWriter::State::wait_for_rows() {
    if (!running.valid()) {
        return std::nullopt;
    }
    auto problem = running.get();
    if (!problem) {
        raises.note(batch.operations());
    }
    batch = {};
    return problem;
}

void ReplicaWriter::State::begin_structure() {
    // They may be dropped.
    connected().execute("moving sequences on", raises.take_sql());
    quiet.restore(connected());
    connected().execute("preparing the session", script_settings);
}

/// After a script of someone else's, who may have SET anything.
void ReplicaWriter::State::settle() {
    connected().execute("preparing the session", "RESET ALL");
    connected().pin_settings();
    connected().execute("preparing the session", session_settings);
    limit_waits();
}

void ReplicaWriter::State::end_structure() {
    settle();
    // Tables and prepared statements of before.
    connected().execute("forgetting statements", "DEALLOCATE ALL");
    sets.emplace(connected());
    quiet = {};
    raises.forget();
}

void ReplicaWriter::run_ddl(const DdlStatement& statement) {
    guarded([&] {
        Connection& connection = state_->connected();
        state_->begin_structure();
        postgres::run_ddl(connection, state_->options.store, statement);
        state_->end_structure();
        fill_columns(connection, statement);
    });
}

void ReplicaWriter::edit_structure(const std::function<void(StructureEditor&)>& edit) {
    guarded([&] {
        state_->begin_structure();
        // Materialized views are filled as their owners see the rows, whom policies may concern.
        const auto settle = [&] {
            state_->settle();
            state_->connected().execute("preparing the session", script_settings);
            state_->connected().execute("preparing the session", "SET row_security = on");
        };
        settle();
        SavepointEditor editor(state_->place(), settle);
        edit(editor);
        state_->end_structure();
    });
}

void ReplicaWriter::save_position(const Position& position, Lsn lsn, uint64_t transactions) {
    guarded([&] {
        const Rows saved = state_->query(
            "saving the position",
            "UPDATE antipode.replica SET epoch = $2, session = $3, number = $4, lsn = $5, "
            "transactions = $6 WHERE store = $1",
            {state_->options.store, std::to_string(position.epoch),
             std::to_string(position.session), std::to_string(position.number), lsn.to_string(),
             std::to_string(transactions)});
        if (saved.affected() != 1) {
            throw Error(Reaction::Stop, "antipode.replica has lost the row of this store",
                        "copy the database again into an empty one");
        }
    });
}

void ReplicaWriter::save(const ReplicaState& state) {
    guarded([&] {
        state_->query(
            "saving the state", R"(
            INSERT INTO antipode.replica VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (store) DO UPDATE SET epoch = $2, session = $3, number = $4, lsn = $5,
              transactions = $6, phase = $7, schema_was_here = $8, after_script = $9,
              finish_script = $10)",
            {state_->options.store, std::to_string(state.position.epoch),
             std::to_string(state.position.session), std::to_string(state.position.number),
             state.lsn.to_string(), std::to_string(state.transactions), to_text(state.phase),
             state.schema_was_here ? "t" : "f", state.after_script, state.finish_script});
    });
}

void ReplicaWriter::forget_tables() {
    guarded([&] {
        state_->query("forgetting snapshots", "DELETE FROM antipode.copied_table WHERE store = $1",
                      {state_->options.store});
        forget_awaited(state_->place());
    });
}

void ReplicaWriter::await_copy(const TableName& table) {
    guarded([&] { postgres::await_copy(state_->place(), table); });
}

std::vector<AwaitedTable> ReplicaWriter::awaited() {
    return guarded([&] { return read_awaited(state_->connected(), state_->options.store); });
}

void ReplicaWriter::remember_copied(const CopiedTable& table) {
    guarded([&] { postgres::remember_copied(state_->place(), table); });
}

void ReplicaWriter::record_skip(const SkippedTransaction& skipped) {
    guarded([&] { postgres::record_skip(state_->connected(), state_->options.store, skipped); });
}

void ReplicaWriter::note_stopped(Lsn commit_lsn, const std::string& problem) {
    guarded([&] {
        postgres::note_stopped(state_->connected(), state_->options.store, commit_lsn, problem);
    });
}

bool ReplicaWriter::clear_copied(const TableName& table) {
    return guarded([&] {
        state_->quiet.silence(state_->connected(), table);
        forget_repair(state_->connected(), state_->options.store, table);
        return postgres::clear_copied(state_->place(), table);
    });
}

bool ReplicaWriter::give_up_repair(const TableName& table) {
    return guarded([&] {
        if (state_
                ->query("looking up " + table.to_string(), "SELECT to_regclass($1) IS NULL",
                        {qualified(table)})
                .boolean(0, 0)) {
            return false;
        }
        note_unrepaired(state_->connected(), state_->options.store, table);
        forget_repair(state_->connected(), state_->options.store, table);
        return true;
    });
}

std::vector<LocalTable> ReplicaWriter::tables() {
    return guarded([&] {
        const Rows rows = state_->query("listing this site's tables", R"(
            SELECT n.nspname, c.relname,
              EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND c.relpersistence = 'p'
              AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
              AND n.nspname NOT LIKE 'pg\_%')");
        std::vector<LocalTable> tables;
        for (int row = 0; row < rows.size(); ++row) {
            LocalTable table{
                {rows.string(row, 0), rows.string(row, 1)}, false, rows.boolean(row, 2)};
            const Rows filled =
                state_->query("looking for rows in " + table.name.to_string(),
                              "SELECT EXISTS (SELECT FROM ONLY " + qualified(table.name) + ")");
            table.empty = !filled.boolean(0, 0);
            tables.push_back(std::move(table));
        }
        return tables;
    });
}

void ReplicaWriter::run_script(const std::string& sql) {
    guarded([&] {
        state_->connected().execute("preparing the session", script_settings);
        try {
            state_->connected().execute("making the schema", state_->connected().is_superuser()
                                                                 ? sql
                                                                 : for_unprivileged(sql));
        } catch (const SqlError& error) {
            throw Error(error.reaction(), error.what(),
                        error.sqlstate() == insufficient_privilege
                            ? lacks_rights
                            : "roles and extension packages that the schema names must be here "
                              "first (pg_dumpall --roles-only); or make the schema by hand and "
                              "start again");
        }
        // pg_dump's scripts change the session's settings.
        state_->connected().pin_settings();
        state_->connected().execute("preparing the session", session_settings);
        state_->limit_waits();
    });
}

std::string ReplicaWriter::schema(SchemaSection section) {
    return guarded([&] {
        const std::string program = find_pg_dump(state_->connected().server_version());
        const auto dump = dump_schema(state_->options.url, program, section);
        std::string text;
        std::array<char, 65536> buffer{};
        while (const size_t size = dump->read(buffer)) {
            text.append(buffer.data(), size);
        }
        return text;
    });
}

ChunkDigests ReplicaWriter::digests(const ChunkPlan& plan) {
    return guarded([&] {
        const auto read =
            unless_missing([&] { return read_digests(state_->connected(), plan, {}); });
        if (!read) {
            throw Error(
                Reaction::Stop,
                plan.table.to_string() +
                    " does not have the primary's columns here: its structure changed there "
                    "while the database was compared",
                "copy the database again into an empty one");
        }
        return *read;
    });
}

void ReplicaWriter::set_sequence(const SequenceValue& sequence) {
    guarded([&] {
        state_->query("setting the sequence " + sequence.name.to_string(),
                      "SELECT setval($1::regclass, $2, $3)",
                      {qualified(sequence.name), std::to_string(sequence.value),
                       sequence.called ? "t" : "f"});
    });
}

void ReplicaWriter::follow_sequences(std::span<const SequenceState> states) {
    guarded([&] {
        state_->connected().execute("moving sequences on", state_->raises.take_sql());
        postgres::follow_sequences(state_->connected(), states);
    });
}

bool ReplicaWriter::begin_copy(const CopyBeginning& beginning) {
    return guarded([&] {
        state_->quiet.silence(state_->connected(), beginning.copied.name);
        state_->fill = TableFill::begin(state_->place(), beginning);
        return state_->fill != nullptr;
    });
}

void ReplicaWriter::copy_bytes(std::string_view bytes) {
    guarded([&] { state_->filling().write(bytes); });
}

uint64_t ReplicaWriter::end_copy() {
    return guarded([&] {
        const uint64_t rows = state_->filling().end();
        state_->fill.reset();
        return rows;
    });
}

void ReplicaWriter::begin_mend(const ChunkPlan& plan) {
    guarded([&] {
        state_->quiet.silence(state_->connected(), plan.table);
        state_->mend.emplace(state_->connected(), plan);
    });
}

void ReplicaWriter::mend_bytes(std::string_view bytes) {
    guarded([&] { state_->mending().write(bytes); });
}

MendedRows ReplicaWriter::end_mend(const std::set<uint32_t>& chunks, const TouchedRows& touched) {
    return guarded([&] {
        const MendedRows mended = state_->mending().finish(chunks, touched);
        state_->mend.reset();
        return mended;
    });
}

int ReplicaWriter::server_major() {
    return guarded([&] { return state_->connected().server_version() / 10000; });
}

std::unique_ptr<ReplicaSession> ReplicaWriter::beside() {
    Options options = state_->options;
    options.writer = guarded([&] { return PQbackendPID(state_->connected().raw()); });
    return std::make_unique<ReplicaWriter>(std::move(options));
}

}  // namespace antipode::postgres
