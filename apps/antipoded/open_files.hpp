#pragma once

#include <cstdint>
#include <optional>

namespace antipode {

/// What this process has open, and may. nullopt: the system does not tell.
struct OpenFiles {
    std::optional<uint64_t> now;
    std::optional<uint64_t> most;
};
OpenFiles open_files();

}  // namespace antipode
