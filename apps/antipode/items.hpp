#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/compare_database.hpp"
#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

/// What an operator does about a secondary's items. Requests go through the site's bucket, so that
/// any machine of the cluster can make them.
namespace antipode::cli {

struct ItemsOptions {
    std::optional<std::string> site;  ///< default: this one
    std::optional<std::string>
        store;  ///< "blobs/uploads"; default: all, where there may be several
    std::vector<std::string> items;
    bool failed = false;                    ///< resync: those that failed
    bool all = false;                       ///< resync: everything
    bool wait = true;                       ///< verify
    std::optional<double> timeout_seconds;  ///< of waiting; none: as long as it takes
    std::function<void()> pause;            ///< between looks
};

/// `antipode verify`: has the secondary read items' content again; a database is compared with the
/// primary's, as by `antipode database check`. Ok: everything is as it was applied; Findings:
/// something was not, or is not; Unreachable: the daemon is down; TimedOut: it goes on unwatched.
ExitCode verify_items(const Config& config, const OpenBucket& open, const Fetch& fetch,
                      const Clock& clock, const Output& output, const ItemsOptions& options);

/// `antipode resync`: has the primary send items again.
ExitCode resync_items(const Config& config, const OpenBucket& open, const Clock& clock,
                      const Output& output, const ItemsOptions& options);

/// `antipode failures`: the site's items that failed, and why.
ExitCode show_failures(const Config& config, const Fetch& fetch, const Output& output,
                       const std::optional<std::string>& site);

}  // namespace antipode::cli
