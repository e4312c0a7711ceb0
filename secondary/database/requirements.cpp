#include "secondary/database/requirements.hpp"

namespace antipode::secondary {
namespace {

constexpr int parameters_are_granted_from = 150000;

}  // namespace

std::vector<UnmetNeed> unmet_needs(const ReplicaFacts& facts) {
    if (facts.in_recovery) {
        return {{"the server is a standby: it cannot be written",
                 "give the store a PostgreSQL of its own on this site"}};
    }
    std::vector<UnmetNeed> needs;
    const std::string setup = "antipode database setup --url URL, with a superuser's URL";
    const auto need = [&](bool met, const std::string& what) {
        if (!met) {
            needs.push_back({"role " + facts.role + " " + what, setup});
        }
    };
    if (!facts.keeps_triggers_quiet && facts.server_version < parameters_are_granted_from) {
        needs.push_back({"role " + facts.role +
                             " may not set session_replication_role, which before version 15 only "
                             "a superuser may",
                         "ALTER ROLE " + facts.role + " SUPERUSER, or use a newer server"});
    } else {
        need(facts.keeps_triggers_quiet,
             "may not set session_replication_role: triggers would fire again");
    }
    need(facts.creates, "may not create schemas in the database " + facts.database);
    need(facts.reads_and_writes_all, "may not read and write all tables");
    need(facts.bypasses_row_security, "is subject to row-level security");
    need(facts.sees_and_ends_sessions, "may not end sessions that are in the way of changes");
    for (const std::string& owner : facts.strange_owners) {
        needs.push_back({"role " + facts.role + " cannot act as " + owner +
                             ", which owns the database or something in it",
                         setup + "; when it is a superuser: ALTER ... OWNER TO a role that is "
                                 "none, on the primary too, else each change of the structure of "
                                 "what it owns needs a hand here"});
    }
    return needs;
}

}  // namespace antipode::secondary
