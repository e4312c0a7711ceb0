#pragma once

#include <string>
#include <string_view>

#include "protocol/message.hpp"

namespace antipode::secondary {

/// Why a repository's name from the stream must not become a path below the root; empty: it may.
/// Relative, no component empty, "." or "..", beginning with '-', reserved (".antipode", ".git") or
/// longer than a file name; no control characters.
std::string refuse_repository_name(std::string_view name);

/// Why a ref update must not be applied as it is: malformed names, object ids of the wrong size,
/// values that contradict each other, HEAD deleted, digests missing; empty: it may.
std::string refuse_update(const v1::RefUpdate& update);

}  // namespace antipode::secondary
