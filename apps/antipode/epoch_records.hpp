#pragma once

#include "apps/antipode/sites.hpp"

namespace antipode::cli {

/// The epoch records on the sites' own nats-servers, through failover/.
EpochRecords epoch_records(const Config& config);

}  // namespace antipode::cli
