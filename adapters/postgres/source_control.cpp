#include "adapters/postgres/source_control.hpp"

#include "adapters/postgres/capture_setup.hpp"
#include "adapters/postgres/control.hpp"
#include "adapters/postgres/data_directory.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

/// What is written on the publication once its slot exists.
constexpr const char* slot_comment = "antipode: slot ";

constexpr const char* server_sql = R"(
    SELECT current_setting('server_version_num')::int, current_user, r.rolsuper,
      r.rolsuper OR r.rolreplication, pg_is_in_recovery(), current_setting('wal_level'),
      (SELECT count(*) FROM pg_replication_slots),
      current_setting('max_replication_slots')::int,
      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
      current_setting('max_wal_senders')::int, current_database(),
      current_setting('max_slot_wal_keep_size') <> '-1',
      current_setting('synchronous_standby_names'),
      r.rolsuper OR coalesce(has_function_privilege(
        to_regprocedure('antipode.publish(text, boolean)'), 'EXECUTE'), false)
    FROM pg_roles r WHERE r.rolname = current_user)";

constexpr const char* checking = "checking the primary database";

std::vector<SourceTable> read_tables(Connection& connection, const std::string& publication,
                                     bool only_without) {
    const std::string sql =
        only_without ? std::string("SELECT * FROM (") + identities_sql + ") t WHERE NOT usable"
                     : std::string(identities_sql);
    const Rows rows = connection.query(checking, sql, {publication});
    std::vector<SourceTable> tables;
    for (int row = 0; row < rows.size(); ++row) {
        SourceTable table;
        table.name = {rows.string(row, 0), rows.string(row, 1)};
        table.replica_identity = rows.text(row, 2)[0];
        table.identity_usable = rows.boolean(row, 3);
        if (!rows.is_null(row, 4)) {
            table.candidate = rows.string(row, 4);
        }
        table.owned = rows.boolean(row, 5);
        table.published = rows.boolean(row, 6);
        tables.push_back(std::move(table));
    }
    return tables;
}

void read_server(Connection& connection, SourceFacts& facts) {
    const Rows rows = connection.query(checking, server_sql);
    facts.server_version = static_cast<int>(rows.integer(0, 0));
    facts.role = rows.string(0, 1);
    facts.superuser = rows.boolean(0, 2);
    facts.may_replicate = rows.boolean(0, 3);
    facts.in_recovery = rows.boolean(0, 4);
    facts.wal_level = rows.string(0, 5);
    facts.slots_used = static_cast<int>(rows.integer(0, 6));
    facts.slots_most = static_cast<int>(rows.integer(0, 7));
    facts.senders_used = static_cast<int>(rows.integer(0, 8));
    facts.senders_most = static_cast<int>(rows.integer(0, 9));
    facts.database = rows.string(0, 10);
    facts.log_is_capped = rows.boolean(0, 11);
    facts.synchronous_standby_names = rows.string(0, 12);
    facts.may_publish = rows.boolean(0, 13);
    facts.data_directory = data_directory(connection);
}

std::optional<SourceFacts::Slot> read_slot(Connection& connection, const std::string& name) {
    const Rows rows = connection.query(
        checking,
        "SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(wal_status, ''), active, "
        "coalesce(confirmed_flush_lsn, '0/0'), safe_wal_size, e.lsn, "
        "greatest(0, coalesce(e.lsn - restart_lsn, 0))::bigint "
        "FROM pg_replication_slots CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() "
        "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) e(lsn) "
        "WHERE slot_name = $1",
        {name});
    if (rows.size() == 0) {
        return std::nullopt;
    }
    SourceFacts::Slot slot{rows.string(0, 0), rows.string(0, 1), rows.string(0, 2),
                           rows.boolean(0, 3), Lsn::parse(rows.text(0, 4)).value_or(Lsn{})};
    if (!rows.is_null(0, 5)) {
        slot.safe_wal_bytes = rows.integer(0, 5);
    }
    slot.wal_end = Lsn::parse(rows.text(0, 6)).value_or(Lsn{});
    slot.retained_bytes = static_cast<uint64_t>(rows.integer(0, 7));
    slot.server_version = connection.server_version();
    return slot;
}

std::optional<SourceFacts::Publication> read_publication(Connection& connection,
                                                         const std::string& name) {
    // Row filters and column lists came with 15.
    const std::string filtered =
        connection.server_version() < 150000
            ? "false"
            : "EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid "
              "AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL))";
    const Rows rows = connection.query(
        checking,
        "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot, " +
            filtered +
            ", coalesce(obj_description(p.oid, 'pg_publication'), ''), "
            "pg_has_role(current_user, pubowner, 'USAGE') OR coalesce(has_function_privilege("
            "to_regprocedure('antipode.record_slot(text, text)'), 'EXECUTE'), false) "
            "FROM pg_publication p WHERE pubname = $1",
        {name});
    if (rows.size() == 0) {
        return std::nullopt;
    }
    SourceFacts::Publication publication;
    publication.all_tables = rows.boolean(0, 0);
    publication.all_operations = rows.boolean(0, 1);
    publication.via_root = rows.boolean(0, 2);
    publication.filtered = rows.boolean(0, 3);
    publication.owned = rows.boolean(0, 5);
    const std::string_view comment = rows.text(0, 4);
    if (comment.starts_with(slot_comment)) {
        publication.slot_made = comment.substr(std::string_view(slot_comment).size());
    }
    return publication;
}

std::vector<TableName> read_unreadable_sequences(Connection& connection) {
    const Rows rows = connection.query(checking, R"(
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND n.nspname <> 'antipode'
          AND NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                                             AND has_schema_privilege(n.oid, 'USAGE') END
        ORDER BY 1, 2)");
    std::vector<TableName> names;
    for (int row = 0; row < rows.size(); ++row) {
        names.push_back({rows.string(row, 0), rows.string(row, 1)});
    }
    return names;
}

bool read_ddl_captured(Connection& connection) {
    return connection
        .query(checking,
               "SELECT count(*) = 3 FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') "
               "AND evtname IN ('antipode_ddl', 'antipode_drop', 'antipode_create_as')")
        .boolean(0, 0);
}

/// As the publication's owner, or through what `antipode database setup` made.
void comment_on(Connection& connection, const std::string& publication, const std::string& text) {
    constexpr const char* doing = "recording the slot";
    const Rows owner = connection.query(
        doing, "SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1",
        {publication});
    if (owner.size() > 0 && owner.boolean(0, 0)) {
        connection.execute(doing, "COMMENT ON PUBLICATION " + quote_identifier(publication) +
                                      " IS " + quote_literal(text));
    } else {
        connection.query(doing, "SELECT antipode.record_slot($1, $2)", {publication, text});
    }
}

}  // namespace

struct SourceSetup::State {
    Options options;
    Control control;
    explicit State(Options given)
        : options(std::move(given)), control(options.url, options.application_name) {}
};

SourceSetup::SourceSetup(Options options) : state_(std::make_unique<State>(std::move(options))) {}
SourceSetup::~SourceSetup() = default;

SourceFacts SourceSetup::facts() {
    return state_->control.transaction([&](Connection& connection) {
        SourceFacts facts;
        read_server(connection, facts);
        facts.slot = read_slot(connection, state_->options.slot);
        facts.publication = read_publication(connection, state_->options.publication);
        facts.tables = read_tables(connection, state_->options.publication, false);
        facts.ddl_captured = read_ddl_captured(connection);
        facts.unreadable_sequences = read_unreadable_sequences(connection);
        facts.large_objects =
            connection.query(checking, "SELECT EXISTS (SELECT FROM pg_largeobject_metadata)")
                .boolean(0, 0);
        return facts;
    });
}

std::vector<SourceTable> SourceSetup::tables_without_identity() {
    return state_->control.transaction([&](Connection& connection) {
        return read_tables(connection, state_->options.publication, true);
    });
}

std::optional<SourceFacts::Slot> SourceSetup::slot() {
    return state_->control.transaction(
        [&](Connection& connection) { return read_slot(connection, state_->options.slot); });
}

/// A role that owns nothing has what `antipode database setup` made for it.
void SourceSetup::set_identity(const TableName& table, const std::optional<std::string>& index) {
    const std::string doing = "setting the replica identity of " + table.to_string();
    state_->control.transaction([&](Connection& connection) {
        const Rows owner = connection.query(
            doing, "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::regclass",
            {qualified(table)});
        if (owner.size() > 0 && owner.boolean(0, 0)) {
            connection.execute(doing,
                               "ALTER TABLE " + qualified(table) + " REPLICA IDENTITY " +
                                   (index ? "USING INDEX " + quote_identifier(*index) : "FULL"));
        } else {
            connection.query(doing, "SELECT antipode.give_identity($1::regclass, $2)",
                             {qualified(table), index});
        }
        return true;
    });
}

void SourceSetup::create_publication() {
    constexpr const char* doing = "creating the publication";
    state_->control.transaction([&](Connection& connection) {
        if (connection.is_superuser()) {
            connection.execute(doing, "CREATE PUBLICATION " +
                                          quote_identifier(state_->options.publication) +
                                          " FOR ALL TABLES");
        } else {
            connection.query(doing, "SELECT antipode.publish($1, true)",
                             {state_->options.publication});
        }
        return true;
    });
}

void SourceSetup::create_slot() {
    state_->control.execute("creating the replication slot " + state_->options.slot +
                                " (it waits for the transactions that run now)",
                            "SELECT pg_create_logical_replication_slot(" +
                                quote_literal(state_->options.slot) + ", 'pgoutput')");
}

void SourceSetup::give_up_slot() {
    state_->control.transaction([&](Connection& connection) {
        connection.query("dropping the slot",
                         "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                         "WHERE slot_name = $1",
                         {state_->options.slot});
        const auto publication = read_publication(connection, state_->options.publication);
        if (publication && publication->owned) {
            comment_on(connection, state_->options.publication, "");
        }
        return true;
    });
}

void SourceSetup::record_slot() {
    state_->control.transaction([&](Connection& connection) {
        comment_on(connection, state_->options.publication, slot_comment + state_->options.slot);
        return true;
    });
}

struct WalEnd::State {
    Control control;
};

WalEnd::WalEnd(std::string url, std::string application_name)
    : state_(new State{Control(std::move(url), std::move(application_name))}) {}
WalEnd::~WalEnd() = default;

Lsn WalEnd::flushed_end() {
    // What asynchronous commits wrote may lie unflushed for a while, and decoding sees only what is
    // flushed. A commit of ours flushes everything before it. It also helps where the end of the
    // log is the start of a page that has no record yet.
    constexpr const char* doing = "reading the end of the log";
    return state_->control.transaction([&](Connection& connection) {
        const Rows end =
            connection.query(doing,
                             "SELECT pg_current_wal_insert_lsn(), "
                             "pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()");
        if (end.boolean(0, 1)) {
            connection.query(doing, "SELECT pg_logical_emit_message(true, 'antipode', '')");
        }
        const auto lsn = Lsn::parse(end.text(0, 0));
        if (!lsn) {
            throw Error(Reaction::Retry, std::string(doing) + ": no position came");
        }
        return *lsn;
    });
}

}  // namespace antipode::postgres
