#pragma once

#include "base/config.hpp"
#include "failover/conductor.hpp"

/// A site that is whole but no secondary becomes primary: it yields or is fenced. No half runs.
namespace antipode {

/// Syncs what stores of repositories and files hold on disks. Before a former primary's items count
/// as applied: applications, and pushes that were cut short, leave what a power cut would take from
/// a site that says it has it, or leave empty where git believes an object. Throws Error{Retry}.
void sync_roots(const Config& config);

/// Where its lanes end, with the loss report written. Throws Error{Stop} when a store is not whole.
failover::Cuts end_where_it_stands(const Config& config, const v1::EpochRecord& record,
                                   const failover::Hands::Stand& stand, const Clock& clock);

/// It keeps its stores as a secondary that stands where `record`'s epoch begins, and that has
/// nothing of the log of the site before. What it knew as a primary stays until then. May run
/// again.
void stand_as_secondary(const Config& config, const v1::EpochRecord& record, failover::Form form,
                        const Clock& clock);

}  // namespace antipode
