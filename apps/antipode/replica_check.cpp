// The part of `antipode doctor` that looks at a secondary's PostgreSQL.
#include "adapters/postgres/replica_setup.hpp"
#include "apps/antipode/doctor.hpp"
#include "base/error.hpp"
#include "secondary/database/requirements.hpp"

namespace antipode::cli {

ReplicaFacts look_at_replica(const Config::Database& store) {
    return postgres::look_at_replica(store.url);
}

Check replica_check(const LookAtReplica& look, const OpenBucket& open) {
    return {"database", [look, open](const Config& config) {
                Findings findings;
                if (config.databases.empty() || !is_secondary(config, open)) {
                    return findings;
                }
                for (const Config::Database& store : config.databases) {
                    const std::string subject = "database/" + store.name;
                    const ReplicaFacts facts = look(store);
                    const auto needs = secondary::unmet_needs(facts);
                    for (const secondary::UnmetNeed& need : needs) {
                        findings.push_back(bad("database", subject, need.what, need.remedy));
                    }
                    if (needs.empty()) {
                        findings.push_back(good("database", subject, "can be written"));
                    }
                }
                return findings;
            }};
}

}  // namespace antipode::cli
