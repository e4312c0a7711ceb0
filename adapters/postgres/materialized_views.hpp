#pragma once

#include <string>

namespace antipode::postgres {

class Connection;

/// SQL that fills, on a mirror whose tables are filled, the materialized views that are filled here
/// (pg_dump of a schema makes them empty), those that others read first. One that cannot be filled
/// stays empty, which PostgreSQL says to whoever reads it; it does not hold up the copy.
std::string fill_materialized_views(Connection& connection);

}  // namespace antipode::postgres
