#pragma once

#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "protocol/antipode.pb.h"

/// What all registered secondaries (RegisteredSites) have in common, from their reports, however
/// old those are: a site that is dead holds these points until it is taken out. Pure.
namespace antipode::primary {

/// Commits of `store` that end here or below are safe on every registered site; without any,
/// `stored` (what this site's own stream holds).
Lsn confirmable(const std::vector<v1::SiteReport>& reports, const StoreId& store, Lsn stored);

/// Every lane of every registered site has applied everything up to here; without any, `head`.
Position applied_everywhere(const std::vector<v1::SiteReport>& reports, const Position& head);

/// The oldest recovery point of all registered sites; nullopt when one is unknown or there are
/// none.
std::optional<TimePoint> recovery_point_everywhere(const std::vector<v1::SiteReport>& reports);

}  // namespace antipode::primary
