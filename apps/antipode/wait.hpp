#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode::cli {

struct WaitOptions {
    std::optional<std::string> site;        ///< default: this one
    std::optional<std::string> lsn;         ///< of the primary's PostgreSQL; default: everything
    std::optional<std::string> store;       ///< whose LSN, when there are several databases
    std::optional<double> timeout_seconds;  ///< none: as long as it takes
    std::function<void()> pause;            ///< between looks
};

/// `antipode wait`: returns when everything that was written on the primary before is applied on
/// the site, or when its database has a transaction that ends at the LSN. TimedOut: not yet.
/// Unreachable: the site's daemon does not answer.
ExitCode wait_for_site(const Config& config, const Fetch& fetch, const Clock& clock,
                       const Output& output, const WaitOptions& options);

}  // namespace antipode::cli
