#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// SQL as text: what statements a script holds, read with PostgreSQL's own parser (libpg_query). It
/// knows the grammar of version 15. Pure, thread-safe.
namespace antipode::postgres {

struct SqlStatement {
    std::string sql;  ///< without the semicolon
    /// As PostgreSQL's command tags are; empty for statements that are no DDL, or DDL of the whole
    /// cluster, for which no event trigger fires.
    std::string tag;
    bool temporary = false;  ///< makes a temporary table
    bool concurrent = false;
    bool with_data = false;                  ///< makes a table and fills it from a query
    bool sets_logged = false;                ///< ALTER TABLE ... SET LOGGED
    std::vector<std::string> added_columns;  ///< by ALTER TABLE
    /// ALTER TABLE ... TYPE ... USING: what its expressions call, without schema.
    std::vector<std::string> using_functions;
    bool using_clock = false;  ///< or what else they find: CURRENT_DATE, CURRENT_USER, ...
};

/// nullopt when the parser does not understand it.
std::optional<std::vector<SqlStatement>> split_sql(const std::string& script);

/// The same without CONCURRENTLY, which cannot be run inside a transaction.
std::optional<std::string> without_concurrently(const SqlStatement& statement);

/// CREATE TABLE AS and SELECT INTO: a statement that makes the same table without its rows.
std::optional<std::string> without_data(const SqlStatement& statement);

}  // namespace antipode::postgres
