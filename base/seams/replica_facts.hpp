#pragma once

#include <string>
#include <vector>

/// What a secondary's PostgreSQL lets the daemon's role do.
namespace antipode {

struct ReplicaFacts {
    int server_version = 0;  ///< 150004
    std::string role;
    std::string database;
    bool superuser = false;
    bool in_recovery = false;
    bool keeps_triggers_quiet = false;  ///< may set session_replication_role
    bool creates = false;               ///< schemas in the database
    bool reads_and_writes_all = false;
    bool bypasses_row_security = false;
    bool sees_and_ends_sessions = false;  ///< readers that are in the way
    /// Own the database or something in it, and the role cannot act as them.
    std::vector<std::string> strange_owners;
};

}  // namespace antipode
