#pragma once

#include <span>
#include <vector>

#include "base/seams/database.hpp"

/// Which ranges of a table are still to be copied. Pure.
namespace antipode::secondary {

/// What of `range` lies outside of `done`: none, one or two ranges.
std::vector<KeyRange> outside(const KeyRange& range, const KeyRange& done);

/// What of `plan` is not in `done`, which an earlier run copied along a plan of its own: statistics
/// change. A plan along another column than that of `done` is not followed.
std::vector<KeyRange> still_to_copy(std::vector<KeyRange> plan, std::span<const KeyRange> done);

}  // namespace antipode::secondary
