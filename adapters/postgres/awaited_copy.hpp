#pragma once

#include <string>
#include <vector>

#include "adapters/postgres/table_fill.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Which tables are to be copied again. They are remembered by the table itself, not by its name,
/// which the statements that follow may change before the copy comes.
inline constexpr const char* create_awaited_copy = R"(
    CREATE TABLE IF NOT EXISTS antipode.awaited_copy (
        store text NOT NULL, relation oid NOT NULL, copied boolean NOT NULL DEFAULT false,
        PRIMARY KEY (store, relation)))";

/// Everything throws as Connection does. This one forgets those that are dropped.
std::vector<AwaitedTable> read_awaited(Connection& connection, const std::string& store);
/// What is remembered of an earlier copy of it is forgotten.
void await_copy(const TableFill::Place& place, const TableName& table);
/// No effect when it is none of them.
void note_awaited_copied(const TableFill::Place& place, const TableName& table);
/// Those that are copied.
void forget_awaited(const TableFill::Place& place);

}  // namespace antipode::postgres
