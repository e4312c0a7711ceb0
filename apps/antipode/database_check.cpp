// The part of `antipode doctor` that looks at PostgreSQL.
#include "adapters/postgres/source_control.hpp"
#include "apps/antipode/doctor.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "primary/database/requirements.hpp"

namespace antipode::cli {
namespace {

/// Where the server keeps its data, on this machine.
Finding check_data(const std::string& subject, const SourceFacts& facts) {
    return facts.data_directory.empty()
               ? skipped("space", subject,
                         "not known where PostgreSQL keeps its data: on another machine, or the "
                         "role may not know it (GRANT pg_read_all_settings TO \"" +
                             facts.role + "\")")
               : check_space_of(subject, facts.data_directory);
}

Findings check_database(const Config::Database& store, bool secondary, const LookAtDatabase& look) {
    const std::string subject = "database/" + store.name;
    SourceFacts facts;
    try {
        facts = look(store);
    } catch (const Error& error) {
        return {bad("database", subject, error.what(), error.next_step())};
    }
    const std::string server =
        "PostgreSQL " + server_version_text(facts.server_version) + ", as role " + facts.role;
    Findings findings = {check_data(subject, facts)};
    if (secondary) {
        findings.push_back(facts.in_recovery
                               ? bad("database", subject,
                                     "the server is a standby: it cannot be written",
                                     "give the store a PostgreSQL of its own on this site")
                               : good("database", subject, server + " answers"));
        return findings;
    }
    const auto needs = primary::unmet_needs(facts, store);
    for (const primary::UnmetNeed& need : needs) {
        findings.push_back(bad("database", subject, need.what, need.remedy));
    }
    if (needs.empty()) {
        findings.push_back(good("database", subject, server + ", can be captured"));
    }
    if (const auto problem = primary::uncapped_slot(facts, store)) {
        findings.push_back(bad("database", subject, problem->what, problem->remedy));
    }
    if (const std::string note = primary::keyless_note(facts); !note.empty()) {
        findings.push_back(good("database", subject, note));
    }
    if (facts.large_objects) {
        findings.push_back(good("database", subject, primary::large_objects_note));
    }
    if (const auto problem = primary::synchronous_problem(facts, store)) {
        findings.push_back(bad("database", subject, problem->what, problem->remedy));
    }
    if (const auto problem =
            facts.slot ? primary::slot_problem(*facts.slot, store) : std::nullopt) {
        findings.push_back(bad("database", subject, problem->what, problem->remedy));
    }
    for (const primary::UnmetNeed& need : primary::lesser_needs(facts)) {
        findings.push_back(bad("database", subject, need.what, need.remedy));
    }
    return findings;
}

}  // namespace

bool is_secondary(const Config& config, const OpenBucket& open) {
    const Config::Site* const own = config.find_site(config.site);
    try {
        const auto bucket = open(*own, false);
        const auto epoch = failover::read_epoch(*bucket, config.cluster);
        return epoch && epoch->record.primary() != config.site;
    } catch (const Error&) {
        return false;
    }
}

SourceFacts look_at_database(const Config::Database& store) {
    return postgres::SourceSetup({store.url, store.slot, store.publication, "antipode doctor"})
        .facts();
}

Check database_check(const LookAtDatabase& look, const OpenBucket& open) {
    return {"database", [look, open](const Config& config) {
                Findings findings;
                const bool secondary = !config.databases.empty() && is_secondary(config, open);
                for (const Config::Database& store : config.databases) {
                    for (Finding& finding : check_database(store, secondary, look)) {
                        findings.push_back(std::move(finding));
                    }
                }
                return findings;
            }};
}

}  // namespace antipode::cli
