#pragma once

#include <string>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

/// Where the server keeps its data, if that is on this machine and the role may know it
/// (pg_read_all_settings); else empty.
std::string data_directory(Connection& connection);

}  // namespace antipode::postgres
