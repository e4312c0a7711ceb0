#pragma once

#include <optional>
#include <string>

#include "apps/antipode/sites.hpp"
#include "base/config.hpp"
#include "failover/epoch.hpp"

/// The sites' epoch records, as an operator's commands read and change them.
namespace antipode::cli {

/// That of `site`, whose bucket it is. Throws CommandError: Unreachable, Failed (there is none).
failover::Epoch read_record(KeyValue& bucket, const Config& config, const std::string& site);
/// nullopt: the server does not answer, or has none.
std::optional<failover::Epoch> try_read_record(KeyValue& bucket, const Config& config);
/// The latest that any site's nats-server has. Throws CommandError{Unreachable}: none answers.
v1::EpochRecord newest_record(const Config& config, const OpenBucket& open);
/// An operator's word, by compare-and-set. nullopt: somebody else was faster. Throws
/// CommandError{Unknown}: it is not known whether it was written.
std::optional<failover::Epoch> change_record(KeyValue& bucket, const failover::Epoch& seen,
                                             const v1::EpochRecord& record);

}  // namespace antipode::cli
