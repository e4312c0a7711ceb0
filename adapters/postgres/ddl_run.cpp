#include "adapters/postgres/ddl_run.hpp"

#include <libpq-fe.h>

#include "adapters/postgres/as_role.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "changing the structure";
constexpr const char* insufficient_privilege = "42501";

/// Of the role that ran the statement.
struct Runner {
    bool here = false;
    bool superuser = false;
    bool may_be_taken = false;
    bool may_make_temporary = false;
};

Runner look_up(Connection& connection, const std::string& role) {
    // From 16 on a member may be without the right to SET ROLE.
    const char* const how = connection.server_version() < 160000 ? "MEMBER" : "SET";
    const Rows rows = connection.query(
        doing,
        "SELECT rolsuper, pg_has_role(session_user, oid, $2), has_database_privilege(oid, "
        "current_database(), 'TEMPORARY') FROM pg_roles WHERE rolname = $1",
        {role, how});
    if (rows.size() == 0) {
        return {};
    }
    return {true, rows.boolean(0, 0), rows.boolean(0, 1), rows.boolean(0, 2)};
}

/// What is made belongs to whom it is made for, whoever runs it: the statement may run as the
/// daemon's role, which acts as the owners.
bool keeps_owners(const std::string& tag) {
    const auto begins = [&](std::string_view word) { return tag.starts_with(word); };
    if (tag == "ALTER DEFAULT PRIVILEGES" || tag == "ALTER EXTENSION") {
        return false;
    }
    return begins("ALTER ") || begins("DROP ") || tag == "COMMENT" || tag == "GRANT" ||
           tag == "REVOKE" || tag == "REFRESH MATERIALIZED VIEW" || tag == "CREATE INDEX" ||
           tag == "CREATE TRIGGER" || tag == "CREATE POLICY" || tag == "CREATE RULE";
}

std::string shell_quoted(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) {
        quoted += c == '\'' ? "'\\''" : std::string(1, c);
    }
    return quoted + "'";
}

/// Runs the statement and notes that, in one transaction, also where sessions only read.
std::string by_hand(Connection& connection, const std::string& store,
                    const DdlStatement& statement) {
    std::string command =
        "PGOPTIONS='-c default_transaction_read_only=off -c session_replication_role=replica' "
        "psql -X -1 -v ON_ERROR_STOP=1 -h " +
        shell_quoted(PQhost(connection.raw())) + " -p " + PQport(connection.raw()) + " -d " +
        shell_quoted(PQdb(connection.raw())) + " -U " + shell_quoted(statement.role);
    for (const DdlStatement::Setting& setting : statement.settings) {
        command +=
            " -c " + shell_quoted("SELECT pg_catalog.set_config(" + quote_literal(setting.name) +
                                  ", " + quote_literal(setting.value) + ", true)");
    }
    return command + " -c " + shell_quoted(statement.sql) + " -c " +
           shell_quoted("INSERT INTO antipode.done_by_hand VALUES (" + quote_literal(store) + ", " +
                        quote_literal(statement.place) + ")");
}

[[noreturn]] void needs_superuser(Connection& connection, const std::string& store,
                                  const DdlStatement& statement, const std::string& what) {
    throw Error(Reaction::Stop, what + ": a superuser ran it, and " + "the daemon's role is none",
                by_hand(connection, store, statement) +
                    "    # then apply goes on by itself; a role without a superuser's rights that "
                    "changes the structure on the primary needs no hand here");
}

std::string let_act_as(const std::string& role, const Runner& runner) {
    const std::string setup = "antipode database setup --owner " + shell_quoted(role) +
                              " --url URL; apply then goes on by itself";
    return runner.here
               ? "as a superuser, here: " + setup
               : "here, as a superuser: CREATE ROLE " + quote_identifier(role) + ", and " + setup;
}

/// What lets the statement run as its role.
std::string let_run_as(Connection& connection, const std::string& role, const Runner& runner) {
    return runner.may_be_taken && !runner.may_make_temporary
               ? "as a superuser, here: GRANT TEMPORARY ON DATABASE " +
                     quote_identifier(PQdb(connection.raw())) + " TO " + quote_identifier(role) +
                     "; apply then goes on by itself"
               : let_act_as(role, runner);
}

/// False: it goes without, because the role is not here, or a superuser's, and not needed.
bool runs_as_its_role(Connection& connection, const std::string& store,
                      const DdlStatement& statement, const Runner& runner) {
    if (!runner.here && keeps_owners(statement.tag)) {
        return false;
    }
    if (runner.superuser && !runner.may_be_taken) {
        if (!keeps_owners(statement.tag)) {
            needs_superuser(connection, store, statement, doing);
        }
        return false;
    }
    if (!runner.may_be_taken || !runner.may_make_temporary) {
        throw Error(
            Reaction::Stop,
            runner.here
                ? "taking the role " + quote_identifier(statement.role) + ": permission denied"
                : "taking the role " + quote_identifier(statement.role) + ": it does not exist",
            let_run_as(connection, statement.role, runner));
    }
    return true;
}

bool was_done_by_hand(Connection& connection, const std::string& store,
                      const DdlStatement& statement) {
    return connection
               .query("looking what was done by hand",
                      "DELETE FROM antipode.done_by_hand WHERE store = $1 AND place = $2",
                      {store, statement.place})
               .affected() > 0;
}

}  // namespace

void run_ddl(Connection& connection, const std::string& store, const DdlStatement& statement) {
    if (was_done_by_hand(connection, store, statement)) {
        return;
    }
    // Before the statement's search_path: it may lead to a "pg_roles" of a user's.
    const Runner runner = look_up(connection, statement.role);
    const bool as_its_role = runs_as_its_role(connection, store, statement, runner);
    for (const DdlStatement::Setting& setting : statement.settings) {
        connection.query("setting " + setting.name, "SELECT pg_catalog.set_config($1, $2, true)",
                         {setting.name, setting.value});
    }
    // Policies may concern that role, as they did on the primary.
    connection.execute(doing, "SET LOCAL row_security = on");
    try {
        if (as_its_role) {
            run_as(connection, doing, statement.role, statement.sql);
        } else {
            connection.execute(doing, statement.sql);
        }
    } catch (const SqlError& error) {
        const bool lacks_rights = error.sqlstate() == insufficient_privilege;
        if (lacks_rights && !as_its_role) {
            if (!runner.here) {
                throw Error(error.reaction(), error.what(), let_act_as(statement.role, runner));
            }
            needs_superuser(connection, store, statement, error.what());
        }
        throw Error(error.reaction(), error.what(),
                    error.reaction() == Reaction::Retry
                        ? "end what holds locks here (SELECT * FROM pg_stat_activity)"
                    : lacks_rights
                        ? "give the role " + quote_identifier(statement.role) +
                              " here what it has on the primary (the database's owner, rights on "
                              "the database and its schemas); apply then goes on by itself"
                        : "make here what the statement needs, as it was on the primary; apply "
                          "then goes on by itself");
    }
}

void fill_columns(Connection& connection, const DdlStatement& statement) {
    for (const DdlStatement::Fill& fill : statement.fills) {
        connection.execute("filling a new column",
                           "UPDATE ONLY " + quote_identifier(fill.table.schema) + "." +
                               quote_identifier(fill.table.table) + " SET " +
                               quote_identifier(fill.column) + " = " + quote_literal(fill.value));
    }
}

}  // namespace antipode::postgres
