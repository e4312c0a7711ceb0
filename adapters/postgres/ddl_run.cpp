#include "adapters/postgres/ddl_run.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "changing the structure";

void take_role(Connection& connection, const std::string& role) {
    const std::string quoted = quote_identifier(role);
    const std::string own =
        quote_identifier(connection.query(doing, "SELECT session_user").string(0, 0));
    try {
        connection.execute("taking the role " + quoted, "SET LOCAL ROLE " + quoted);
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    "here, as a superuser: CREATE ROLE " + quoted +
                        " if it is missing, and GRANT " + quoted + " TO " + own +
                        "; apply then goes on by itself");
    }
}

}  // namespace

void run_ddl(Connection& connection, const DdlStatement& statement) {
    for (const DdlStatement::Setting& setting : statement.settings) {
        connection.query("setting " + setting.name, "SELECT set_config($1, $2, true)",
                         {setting.name, setting.value});
    }
    take_role(connection, statement.role);
    try {
        connection.execute(doing, statement.sql);
    } catch (const SqlError& error) {
        throw Error(error.reaction(), error.what(),
                    error.reaction() == Reaction::Retry
                        ? "end what holds locks here (SELECT * FROM pg_stat_activity)"
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
