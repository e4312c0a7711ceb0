#pragma once

#include <string>
#include <vector>

#include "base/seams/replica_facts.hpp"

namespace antipode::postgres {

/// What a superuser gives, once, on a secondary.
struct ReplicaSetup {
    std::string role;  ///< the daemon's
    /// Whose objects and DDL are followed, besides the owners of the database and of what is in it.
    std::vector<std::string> owners;
    /// Who may connect besides; everybody else is kept out, because he might write.
    std::vector<std::string> readers;
    /// What it publishes once it is a primary.
    std::string publication;
    /// Not while it is still the primary.
    bool close = true;
};

/// SQL that gives the daemon's role what it needs to copy and apply without being a superuser, and
/// closes the database for all others' writes (write_fence.hpp). May be run again.
std::string replica_setup_sql(const ReplicaSetup& setup);

/// Runs it. `url`: a superuser's. Throws Error with the server's words and the next step.
void run_replica_setup(const std::string& url, const ReplicaSetup& setup);

/// The roles, without superusers, that own something in the database: whose objects a secondary has
/// to make. Sorted.
std::vector<std::string> owners_in(const std::string& url);

/// What the role of `url` has of it.
ReplicaFacts look_at_replica(const std::string& url);

}  // namespace antipode::postgres
