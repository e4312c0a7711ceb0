#pragma once

#include <functional>
#include <string>

#include "base/config.hpp"
#include "base/ids.hpp"

namespace antipode {

/// Writes to every store of a site that was just opened, as the daemon, and reads it back: rows in
/// PostgreSQL, a file in each root, beside what is replicated. Objects are not written to buckets.
/// What took the writes, in a few words. Throws Error{Retry}: a store takes none, or has nothing of
/// its items below its root (`has_items`), as when its disk is not mounted.
std::string write_canaries(const Config& config, const std::string& operation,
                           const std::function<bool(const StoreId& store)>& has_items);

}  // namespace antipode
