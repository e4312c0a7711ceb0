#pragma once

#include <string>

#include "adapters/postgres/structure.hpp"
#include "secondary/database/structure_check.hpp"
#include "tests/support/postgres_server.hpp"

namespace antipode::test {

/// What a check of the structure would find in the databases "app" of both; empty: nothing.
inline std::string structures_differ(const PostgresServer& primary, const PostgresServer& mirror) {
    const auto read = [](const PostgresServer& server) {
        postgres::Connection connection(server.url("app"), "test");
        return postgres::read_structure(connection);
    };
    std::string text;
    for (const auto& one : secondary::compare_structures(read(primary), read(mirror))) {
        text += one.object + ": " + one.there + " | " + one.here + "\n";
    }
    return text;
}

}  // namespace antipode::test
