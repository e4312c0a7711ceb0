#include "adapters/postgres/source_control.hpp"

#include <pqxx/pqxx>

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

/// What is written on the publication once its slot exists.
constexpr const char* slot_comment = "antipode: slot ";

/// Tables whose changes can be published, and how their rows can be told apart. An identity is an
/// index that is unique at once (not deferrable), valid, whole, and over columns that cannot be
/// null.
constexpr const char* identities_sql = R"(
    SELECT n.nspname, c.relname, c.relreplident,
      CASE c.relreplident
        WHEN 'f' THEN true
        WHEN 'n' THEN false
        ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indimmediate
                     AND i.indisvalid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                          ELSE i.indisprimary END)
      END AS usable,
      (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k
                          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]
                          WHERE NOT a.attnotnull)
        ORDER BY i.indnkeyatts, i.indexrelid LIMIT 1) AS candidate,
      pg_has_role(current_user, c.relowner, 'USAGE') AS owned,
      EXISTS (SELECT FROM pg_publication p WHERE p.pubname = $1 AND p.puballtables)
        OR EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $1
                   AND t.schemaname = n.nspname AND t.tablename = c.relname) AS published
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
      AND n.nspname NOT LIKE 'pg\_%'
    ORDER BY 1, 2)";

constexpr const char* server_sql = R"(
    SELECT current_setting('server_version_num')::int, current_user, r.rolsuper,
      r.rolsuper OR r.rolreplication, pg_is_in_recovery(), current_setting('wal_level'),
      (SELECT count(*) FROM pg_replication_slots),
      current_setting('max_replication_slots')::int,
      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'),
      current_setting('max_wal_senders')::int, current_database()
    FROM pg_roles r WHERE r.rolname = current_user)";

/// One lazily made connection; dropped after an error, so that the next call begins afresh.
/// (libpqxx would reconnect silently and lose the session's settings: every call sets what it
/// needs, inside its transaction.)
class Control {
  public:
    Control(std::string url, std::string application_name)
        : url_(std::move(url)), application_name_(std::move(application_name)) {}

    template <typename Use>
    auto transaction(const std::string& doing, Use use) {
        try {
            if (!connection_) {
                connection_ = std::make_unique<pqxx::connection>(url_);
            }
            pqxx::work work(*connection_);
            work.exec_params(
                "SELECT set_config('application_name', $1, true), "
                "set_config('lock_timeout', '2s', true), "
                "set_config('statement_timeout', '20s', true), "
                "set_config('search_path', 'pg_catalog', true), "
                "set_config('synchronous_commit', 'local', true)",
                application_name_);
            if constexpr (std::is_void_v<decltype(use(work))>) {
                use(work);
                work.commit();
            } else {
                auto result = use(work);
                work.commit();
                return result;
            }
        } catch (const pqxx::sql_error& error) {
            connection_.reset();
            throw SqlError(reaction_to(error.sqlstate()), doing + ": " + first_line(error.what()),
                           "", error.sqlstate());
        } catch (const pqxx::failure& error) {
            connection_.reset();
            throw Error(Reaction::Retry, doing + ": " + first_line(error.what()),
                        "check that the server runs and that the store's url reaches it");
        }
    }

  private:
    static std::string first_line(const std::string& text) {
        return text.substr(0, text.find('\n'));
    }
    std::string url_;
    std::string application_name_;
    std::unique_ptr<pqxx::connection> connection_;
};

std::vector<SourceTable> read_tables(pqxx::work& work, const std::string& publication,
                                     bool only_without) {
    const std::string sql =
        only_without ? std::string("SELECT * FROM (") + identities_sql + ") t WHERE NOT usable"
                     : std::string(identities_sql);
    std::vector<SourceTable> tables;
    for (const auto& row : work.exec_params(sql, publication)) {
        SourceTable table;
        table.name = {row[0].as<std::string>(), row[1].as<std::string>()};
        table.replica_identity = row[2].c_str()[0];
        table.identity_usable = row[3].as<bool>();
        if (!row[4].is_null()) {
            table.candidate = row[4].as<std::string>();
        }
        table.owned = row[5].as<bool>();
        table.published = row[6].as<bool>();
        tables.push_back(std::move(table));
    }
    return tables;
}

void read_server(pqxx::work& work, SourceFacts& facts) {
    const auto row = work.exec1(server_sql);
    facts.server_version = row[0].as<int>();
    facts.role = row[1].as<std::string>();
    facts.superuser = row[2].as<bool>();
    facts.may_replicate = row[3].as<bool>();
    facts.in_recovery = row[4].as<bool>();
    facts.wal_level = row[5].as<std::string>();
    facts.slots_used = row[6].as<int>();
    facts.slots_most = row[7].as<int>();
    facts.senders_used = row[8].as<int>();
    facts.senders_most = row[9].as<int>();
    facts.database = row[10].as<std::string>();
}

std::optional<SourceFacts::Slot> read_slot(pqxx::work& work, const std::string& name) {
    const auto rows = work.exec_params(
        "SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(wal_status, ''), active, "
        "coalesce(confirmed_flush_lsn, '0/0') FROM pg_replication_slots WHERE slot_name = $1",
        name);
    if (rows.empty()) {
        return std::nullopt;
    }
    const auto& row = rows[0];
    return SourceFacts::Slot{row[0].as<std::string>(), row[1].as<std::string>(),
                             row[2].as<std::string>(), row[3].as<bool>(),
                             Lsn::parse(row[4].c_str()).value_or(Lsn{})};
}

std::optional<SourceFacts::Publication> read_publication(pqxx::work& work, const std::string& name,
                                                         int server_version) {
    // Row filters and column lists came with 15.
    const std::string filtered =
        server_version < 150000
            ? "false"
            : "EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid "
              "AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL))";
    const auto rows = work.exec_params(
        "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot, " +
            filtered +
            ", coalesce(obj_description(p.oid, 'pg_publication'), ''), "
            "pg_has_role(current_user, pubowner, 'USAGE') "
            "FROM pg_publication p WHERE pubname = $1",
        name);
    if (rows.empty()) {
        return std::nullopt;
    }
    const auto& row = rows[0];
    SourceFacts::Publication publication{
        row[0].as<bool>(), row[1].as<bool>(), row[2].as<bool>(), row[3].as<bool>(), {},
        row[5].as<bool>()};
    const std::string comment = row[4].as<std::string>();
    if (comment.starts_with(slot_comment)) {
        publication.slot_made = comment.substr(std::string_view(slot_comment).size());
    }
    return publication;
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
    return state_->control.transaction("checking the primary database", [&](pqxx::work& work) {
        SourceFacts facts;
        read_server(work, facts);
        facts.slot = read_slot(work, state_->options.slot);
        facts.publication =
            read_publication(work, state_->options.publication, facts.server_version);
        facts.tables = read_tables(work, state_->options.publication, false);
        return facts;
    });
}

std::vector<SourceTable> SourceSetup::tables_without_identity() {
    return state_->control.transaction("checking replica identities", [&](pqxx::work& work) {
        return read_tables(work, state_->options.publication, true);
    });
}

void SourceSetup::set_identity(const TableName& table, const std::optional<std::string>& index) {
    const std::string name = quote_identifier(table.schema) + "." + quote_identifier(table.table);
    state_->control.transaction(
        "setting the replica identity of " + table.to_string(), [&](pqxx::work& work) {
            work.exec0("ALTER TABLE " + name + " REPLICA IDENTITY " +
                       (index ? "USING INDEX " + quote_identifier(*index) : "FULL"));
        });
}

void SourceSetup::create_publication() {
    state_->control.transaction("creating the publication", [&](pqxx::work& work) {
        work.exec0("CREATE PUBLICATION " + quote_identifier(state_->options.publication) +
                   " FOR ALL TABLES");
    });
}

void SourceSetup::create_slot() {
    state_->control.transaction("creating the replication slot " + state_->options.slot +
                                    " (it waits for the transactions that run now)",
                                [&](pqxx::work& work) {
                                    work.exec_params(
                                        "SELECT pg_create_logical_replication_slot($1, 'pgoutput')",
                                        state_->options.slot);
                                });
}

void SourceSetup::record_slot() {
    state_->control.transaction("recording the slot", [&](pqxx::work& work) {
        work.exec0("COMMENT ON PUBLICATION " + quote_identifier(state_->options.publication) +
                   " IS " + quote_literal(slot_comment + state_->options.slot));
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
    return state_->control.transaction("reading the end of the log", [&](pqxx::work& work) {
        const auto row = work.exec1(
            "SELECT pg_current_wal_insert_lsn(), "
            "pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()");
        if (row[1].as<bool>()) {
            work.exec1("SELECT pg_logical_emit_message(true, 'antipode', '')");
        }
        const auto lsn = Lsn::parse(row[0].c_str());
        if (!lsn) {
            throw Error(Reaction::Retry, "reading the end of the log: no position came");
        }
        return *lsn;
    });
}

}  // namespace antipode::postgres
