#pragma once

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

/// Makes what is not there of the tables in which a replicated database remembers where it stands,
/// and brings those of an earlier version up to date. Throws with the right that is missing.
void create_bookkeeping(Connection& connection);

}  // namespace antipode::postgres
