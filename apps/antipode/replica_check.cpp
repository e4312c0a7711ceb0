// The part of `antipode doctor` that looks at a secondary's PostgreSQL.
#include "adapters/postgres/replica_setup.hpp"
#include "adapters/postgres/write_fence.hpp"
#include "apps/antipode/doctor.hpp"
#include "base/error.hpp"
#include "secondary/database/requirements.hpp"

namespace antipode::cli {
namespace {

constexpr const char* setup = "antipode database setup --url URL, with a superuser's URL";

void check_rights(Findings& findings, const std::string& subject, const ReplicaFacts& facts) {
    const auto needs = secondary::unmet_needs(facts);
    for (const secondary::UnmetNeed& need : needs) {
        findings.push_back(bad("database", subject, need.what, need.remedy));
    }
    if (needs.empty()) {
        findings.push_back(good("database", subject, "can be written as role " + facts.role));
    }
}

void check_fence(Findings& findings, const std::string& subject, const FenceState& fence) {
    if (!fence.set_up) {
        findings.push_back(
            bad("read-only", subject, "nothing keeps others from writing here", setup));
        return;
    }
    if (!fence.closed) {
        findings.push_back(bad("read-only", subject, "the database is open for writes",
                               "start antipoded here: it closes it"));
    }
    for (const FenceState::Writer& writer : fence.writers) {
        findings.push_back(bad("read-only", subject, "role " + writer.role + " " + writer.why,
                               "start antipoded here: it keeps that role out"));
    }
    for (const FenceState::Writer& reader : fence.kept_out) {
        findings.push_back(
            bad("read-only", subject,
                "role " + reader.role + " of \"readers\" is kept out: " + reader.why,
                "take that right from it on the primary, or take it out of \"readers\""));
    }
    if (fence.closed && fence.writers.empty()) {
        std::string holes;
        for (const std::string& function : fence.definers) {
            holes +=
                (holes.empty() ? "; readers can call what runs with its owner's rights: " : ", ") +
                function;
        }
        findings.push_back(
            good("read-only", subject, "nobody but the daemon and superusers may write" + holes));
    }
}

}  // namespace

ReplicaFacts look_at_replica(const Config::Database& store) {
    return postgres::look_at_replica(store.url);
}

FenceState look_at_fence(const Config::Database& store) {
    return postgres::DatabaseFence({store.url, "antipode doctor", store.readers}).look();
}

Check replica_check(const LookAtReplica& look, const LookAtFence& fence, const OpenBucket& open) {
    return {"database", [look, fence, open](const Config& config) {
                Findings findings;
                if (config.databases.empty() || !is_secondary(config, open)) {
                    return findings;
                }
                for (const Config::Database& store : config.databases) {
                    const std::string subject = "database/" + store.name;
                    check_rights(findings, subject, look(store));
                    check_fence(findings, subject, fence(store));
                }
                return findings;
            }};
}

}  // namespace antipode::cli
