#pragma once

#include "adapters/postgres/connection.hpp"
#include "base/seams/structure.hpp"

namespace antipode::postgres {

/// Reads the catalogs in one statement. PostgreSQL's functions that write definitions look at the
/// catalogs as they are, not as a snapshot sees them: the caller knows that no structure changes
/// meanwhile, or finds out.
Structure read_structure(Connection& connection);

}  // namespace antipode::postgres
