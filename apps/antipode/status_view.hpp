#pragma once

#include <optional>
#include <string>

#include "apps/antipode/status_report.hpp"

/// How a status looks on a terminal. Pure.
namespace antipode::cli {

/// A site's report that is older than this is shown as STALE and never green.
inline constexpr std::chrono::seconds stale_after{10};

/// A row per site (or only `only`'s), then a line for everything that holds a site back. `wide`:
/// with times in full, how long what a site keeps lasts, and how old its checks are.
std::string render_status(const StatusReport& report, const std::optional<std::string>& only,
                          bool coloured, bool wide = false);

/// A row per store of the site that answered: where the lag comes from.
std::string render_lag(const StatusReport& report, bool coloured);

}  // namespace antipode::cli
