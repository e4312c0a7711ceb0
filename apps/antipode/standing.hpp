#pragma once

#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "base/config.hpp"
#include "failover/machine.hpp"

namespace antipode::cli {

/// Where a site stands in a change of the primary, as its daemon says.
struct Standing {
    std::optional<failover::State> state;  ///< nullopt: it does not know yet
    uint64_t epoch = 0;
    std::string operation;
    std::string problem;
    std::string next_step;
    std::string unreadable;  ///< a name for what it cannot read and waits for; empty: nothing
};
/// Throws CommandError{Unreachable}.
Standing standing_of(const Config& config, const Fetch& fetch, const Config::Site& site);

/// It is an old primary that has come back, and does not follow the new one yet.
bool comes_back(failover::State state);

}  // namespace antipode::cli
