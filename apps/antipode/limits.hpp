#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

/// Limits that are changed while daemons run.
namespace antipode::cli {

struct LimitsOptions {
    std::optional<std::string> site;  ///< default: this one
    std::vector<std::string> values;  ///< "bulk_bytes_per_second=20M", "pull_workers=default"
    std::function<void()> pause;      ///< between looks
};

/// `antipode limits`: what counts on a site, and who changed it.
ExitCode show_limits(const Config& config, const Fetch& fetch, const Output& output,
                     const LimitsOptions& options);
/// `antipode limits set`: through the site's bucket, so that any machine of the cluster can.
ExitCode set_limits(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const LimitsOptions& options);

}  // namespace antipode::cli
