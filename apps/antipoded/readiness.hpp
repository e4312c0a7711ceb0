#pragma once

#include <optional>
#include <vector>

#include "base/config.hpp"
#include "primary/database/requirements.hpp"

namespace antipode {

/// Whether this site could hand over, or become primary: what its own servers say. What it says of
/// how far replication is stands in its status.
struct Readiness {
    std::vector<primary::UnmetNeed> blockers;
    std::vector<primary::UnmetNeed> warnings;
    /// The event triggers of all databases are there; nullopt: not known.
    std::optional<bool> ddl_captured;
};

/// Asks the databases; takes seconds when one hangs. `is_primary`: can this site be fenced; else:
/// can it capture. Never throws: a server that does not answer is a blocker.
Readiness look_at_readiness(const Config& config, bool is_primary);

}  // namespace antipode
