#include "adapters/postgres/quiet_tables.hpp"

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "keeping triggers and rules from firing again";

/// Of a table: its triggers and rules with how they are enabled.
constexpr const char* firing_sql = R"(
    SELECT 'TRIGGER ' || quote_ident(tgname), tgenabled FROM pg_trigger
    WHERE tgrelid = $1 AND tgenabled IN ('A', 'R')
    UNION ALL SELECT 'RULE ' || quote_ident(rulename), ev_enabled FROM pg_rewrite
    WHERE ev_class = $1 AND ev_enabled IN ('A', 'R'))";

}  // namespace

void QuietTables::add(uint32_t relation, const TargetTable& table) {
    if (table.fires_always()) {
        tables_[relation] = {table.oid(), table.alter_name()};
    }
}

void QuietTables::silence(Connection& connection, std::span<const RowOperation> operations) {
    if (tables_.empty()) {
        return;
    }
    for (const RowOperation& operation : operations) {
        silence(connection, operation.relation);
        for (const uint32_t truncated : operation.truncated) {
            silence(connection, truncated);
        }
    }
}

void QuietTables::silence(Connection& connection, uint32_t relation) {
    const auto table = tables_.find(relation);
    if (table != tables_.end()) {
        silence(connection, table->second.first, table->second.second);
    }
}

void QuietTables::silence(Connection& connection, const TableName& table) {
    const std::string name = qualified(table);
    const Rows oid = connection.query(doing, "SELECT to_regclass($1)::oid", {name});
    if (!oid.is_null(0, 0)) {
        silence(connection, oid.string(0, 0), name);
    }
}

void QuietTables::silence(Connection& connection, const std::string& oid, const std::string& name) {
    if (restore_.contains(oid)) {
        return;
    }
    const Rows rows = connection.query(doing, firing_sql, {oid});
    if (rows.size() == 0) {
        return;
    }
    std::string& restore = restore_[oid];
    std::string disable;
    for (int row = 0; row < rows.size(); ++row) {
        const std::string what = rows.string(row, 0);
        disable += "ALTER TABLE ONLY " + name + " DISABLE " + what + ";";
        restore += "ALTER TABLE ONLY " + name + " ENABLE " +
                   (rows.text(row, 1) == "A" ? "ALWAYS " : "REPLICA ") + what + ";";
    }
    try {
        connection.execute(doing, disable);
    } catch (const SqlError& error) {
        throw Error(error.reaction(), std::string(error.what()) + " (" + name + ")",
                    "let the role that applies be a member of the table's owner; end what holds "
                    "locks on the table (SELECT * FROM pg_stat_activity)");
    }
}

void QuietTables::restore(Connection& connection) {
    for (const auto& [oid, statements] : std::exchange(restore_, {})) {
        connection.execute(doing, statements);
    }
}

}  // namespace antipode::postgres
