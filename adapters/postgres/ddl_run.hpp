#pragma once

#include "adapters/postgres/connection.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Runs a statement of the primary's in the open transaction, as its role and with its settings.
/// Leaves behind other settings than the session's own: the caller puts those back. One that a
/// superuser has run by hand, as the error said, is passed over. Throws Error{Stop} with the next
/// step when this session may not take the role or the server refuses.
void run_ddl(Connection& connection, const std::string& store, const DdlStatement& statement);

/// Gives rows that are there what they got on the primary in a new column. With pinned settings.
void fill_columns(Connection& connection, const DdlStatement& statement);

}  // namespace antipode::postgres
