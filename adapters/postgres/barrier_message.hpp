#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Prefix of the logical messages that are barriers. They are transactional and alone in their
/// transaction: the check's id, a space, and the snapshot unless the check only begins.
inline constexpr const char* barrier_prefix = "antipode.barrier";

std::string barrier_message(const DecodedBarrier& barrier);
/// nullopt when it is somebody else's.
std::optional<DecodedBarrier> parse_barrier_message(std::string_view message);

}  // namespace antipode::postgres
