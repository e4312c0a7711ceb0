#include "adapters/postgres/data_directory.hpp"

namespace antipode::postgres {

std::string data_directory(Connection& connection) {
    // Both ends have the same address, or none (a socket). pg_settings leaves out what the role may
    // not see; current_setting() would fail.
    const Rows rows =
        connection.query("asking where the server keeps its data",
                         "SELECT setting FROM pg_settings WHERE name = 'data_directory' AND "
                         "(inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr())");
    return rows.size() == 0 ? std::string() : rows.string(0, 0);
}

}  // namespace antipode::postgres
