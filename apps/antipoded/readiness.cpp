#include "apps/antipoded/readiness.hpp"

#include <algorithm>

#include "adapters/postgres/replica_setup.hpp"
#include "adapters/postgres/source_control.hpp"
#include "adapters/postgres/write_trial.hpp"
#include "base/error.hpp"
#include "failover/fences.hpp"
#include "primary/database/requirements.hpp"
#include "secondary/database/requirements.hpp"

namespace antipode {
namespace {

void look_at_fence(const Config& config, const Config::Database& store, Readiness& readiness) {
    for (const auto& problem : failover::fence_of(config, store).problems()) {
        readiness.blockers.push_back(
            {"database/" + store.name + " cannot be fenced: " + problem.what, problem.next_step});
    }
}

/// What is refused while writes are open says nothing when it is refused behind a fence.
void look_at_write_check(const Config& config, const Config::Database& store,
                         Readiness& readiness) {
    if (store.write_check_url.empty()) {
        return;
    }
    const auto trial = postgres::try_to_write(
        store.write_check_url, "antipode " + config.cluster + " " + config.site + " readiness");
    if (!trial.could_write) {
        readiness.warnings.push_back(
            {"database/" + store.name +
                 ": write_check_url is refused although writes are open: " + trial.said,
             "mend it: it connects as the service does"});
    }
}

/// A site that none needs has none.
void look_at_hooks(const Config& config, Readiness& readiness) {
    for (const auto& [why, is_needed] : failover::Fences(config).unhooked()) {
        if (is_needed) {
            readiness.blockers.push_back({why.what(), why.next_step()});
        }
    }
}

/// It will have to follow the new primary.
void look_at_apply(const Config::Database& store, Readiness& readiness) {
    for (const secondary::UnmetNeed& need :
         secondary::unmet_needs(postgres::look_at_replica(store.url))) {
        readiness.blockers.push_back(
            {"database/" + store.name + " could not be a secondary's here: " + need.what,
             "antipode database setup --as secondary --url URL, with a superuser's URL: while the "
             "site is the primary, it closes nothing"});
    }
}

/// The slot and the publication of an earlier time as primary are dropped first.
void look_at_capture(const Config::Database& store, SourceFacts facts, Readiness& readiness) {
    facts.publication.reset();
    facts.slot.reset();
    for (const primary::UnmetNeed& need : primary::unmet_needs(facts, store)) {
        readiness.blockers.push_back(
            {"database/" + store.name + " cannot be captured here: " + need.what, need.remedy});
    }
}

void look_at_database(const Config& config, const Config::Database& store, bool is_primary,
                      Readiness& readiness) {
    try {
        postgres::SourceSetup setup(
            {store.url, store.slot, store.publication,
             "antipode " + config.cluster + " " + config.site + " " + store.name + " readiness"});
        const SourceFacts facts = setup.facts();
        readiness.ddl_captured = readiness.ddl_captured.value_or(true) && facts.ddl_captured;
        if (is_primary) {
            look_at_fence(config, store, readiness);
            look_at_write_check(config, store, readiness);
            look_at_apply(store, readiness);
        } else {
            look_at_capture(store, facts, readiness);
        }
    } catch (const Error& error) {
        readiness.blockers.push_back(
            {"database/" + store.name + ": " + error.what(),
             error.next_step().empty() ? "antipode doctor" : error.next_step()});
    }
}

}  // namespace

Readiness look_at_readiness(const Config& config, bool is_primary) {
    Readiness readiness;
    for (const Config::Database& store : config.databases) {
        look_at_database(config, store, is_primary, readiness);
    }
    if (is_primary) {
        look_at_hooks(config, readiness);
    }
    const bool has_command = !config.failover.fence_command.empty();
    if (is_primary && !config.blobs.empty() && !has_command) {
        readiness.blockers.push_back(
            {"nothing stops writes to blobs/" + config.blobs.front().name,
             "set failover.fence_command: what stops the service, or makes its files read-only"});
    }
    const auto in_bucket =
        std::find_if(config.blobs.begin(), config.blobs.end(),
                     [](const Config::Blobs& store) { return store.bucket.has_value(); });
    if (is_primary && in_bucket != config.blobs.end() &&
        config.failover.write_check_command.empty()) {
        readiness.blockers.push_back(
            {"nobody could tell whether the bucket of blobs/" + in_bucket->name +
                 " is still written behind a fence: the service has a key of its own",
             "set failover.write_check_command, which writes as the service would"});
    }
    if (is_primary && !config.repositories.empty() && !has_command) {
        readiness.warnings.push_back(
            {"repositories are fenced by hooks alone, which libgit2 and JGit do not run",
             "set failover.fence_command"});
    }
    if (is_primary && config.witness && has_command && config.failover.unfence_command.empty()) {
        readiness.warnings.push_back(
            {"what antipode-fencer closes when the lease runs out it cannot open again",
             "set failover.unfence_command, which undoes failover.fence_command"});
    }
    return readiness;
}

}  // namespace antipode
