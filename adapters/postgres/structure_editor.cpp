#include "adapters/postgres/structure_editor.hpp"

#include "adapters/postgres/as_role.hpp"
#include "adapters/postgres/awaited_copy.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/recipes.hpp"
#include "adapters/postgres/structure.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "changing the structure";

}  // namespace

Structure SavepointEditor::structure() {
    return read_structure(place_.connection);
}

Recipes SavepointEditor::recipes() {
    return read_recipes(place_.connection);
}

/// With the objects that they are of; of all tables but those of the schema "antipode".
std::map<std::string, std::string> SavepointEditor::columns() {
    const Rows rows = place_.connection.query(
        doing,
        "SELECT format('%s.%I', attrelid::regclass, attname), 'table ' || attrelid::regclass "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relkind IN ('r', 'p') AND "
        "attnum > 0 AND NOT attisdropped AND c.oid >= 16384");
    std::map<std::string, std::string> tables;
    for (int row = 0; row < rows.size(); ++row) {
        tables[rows.string(row, 0)] = rows.string(row, 1);
    }
    return tables;
}

std::string SavepointEditor::why_not_as(const std::string& role) {
    const Rows rows = place_.connection.query(
        doing,
        "SELECT current_database() FROM pg_roles WHERE rolname = $1 AND NOT "
        "has_database_privilege(oid, current_database(), 'TEMPORARY')",
        {role});
    return rows.size() == 0
               ? ""
               : "its owner may make nothing temporary here (as a superuser: GRANT TEMPORARY ON "
                 "DATABASE " +
                     quote_identifier(rows.text(0, 0)) + " TO " + quote_identifier(role) + ")";
}

void SavepointEditor::execute(const std::string& sql, const std::string& role) {
    Connection& connection = place_.connection;
    if (role.empty() || connection.query(doing, "SELECT current_user = $1", {role}).boolean(0, 0)) {
        connection.execute(doing, sql);
        return;
    }
    run_as(connection, doing, role, sql);
    settle_();
}

std::string SavepointEditor::run(const std::string& sql, const MayLose& may_lose,
                                 const std::string& role) {
    Connection& connection = place_.connection;
    if (std::string problem = why_not_as(role); !problem.empty()) {
        return problem;
    }
    const auto before = may_lose.anything ? std::map<std::string, std::string>() : columns();
    connection.execute(doing, "SAVEPOINT step");
    std::string problem;
    try {
        execute(sql, role);
        const auto after = before.empty() ? before : columns();
        for (const auto& [column, table] : before) {
            if (!after.contains(column) && !may_lose.tables.contains(table)) {
                problem = "the column " + column + " would be lost with what depends on it";
            }
        }
    } catch (const SqlError& error) {
        if (error.reaction() == Reaction::Retry) {
            throw;
        }
        problem = error.what();
    }
    connection.execute(doing, problem.empty() ? "RELEASE step" : "ROLLBACK TO step; RELEASE step");
    return problem;
}

void SavepointEditor::copy_again(const std::string& table) {
    const Rows rows = place_.connection.query(
        doing,
        "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE c.oid = $1::regclass",
        {table});
    await_copy(place_, {rows.string(0, 0), rows.string(0, 1)});
}

}  // namespace antipode::postgres
