#pragma once

#include "apps/antipoded/secondary_half.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/loss.hpp"

namespace antipode {

/// What a secondary lacks if nothing more comes from `primary`, the one of `epoch`: by what its
/// stream holds and what is applied. Throws Error{Retry} when its nats-server does not answer.
failover::LossReport find_expected_loss(const Config& config, const SecondaryHalf& half,
                                        uint64_t epoch, const std::string& primary,
                                        const Clock& clock);

}  // namespace antipode
