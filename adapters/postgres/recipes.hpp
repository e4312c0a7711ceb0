#pragma once

#include "adapters/postgres/connection.hpp"
#include "base/seams/structure.hpp"

namespace antipode::postgres {

/// How what read_structure() names is made and removed. Not of operators, casts, aggregates, text
/// search, foreign tables and the like, which have none. Reads the catalogs as they are, as
/// read_structure() does.
Recipes read_recipes(Connection& connection);

}  // namespace antipode::postgres
