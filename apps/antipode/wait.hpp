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
    std::optional<std::string> site;  ///< default: this one
    /// An LSN of the primary's PostgreSQL, a repository, or a file; default: everything.
    std::optional<std::string> what;
    /// Whose that is, when there are several; says, too, whether `ab/cd` is an LSN or a name.
    std::optional<std::string> store;
    std::optional<double> timeout_seconds;  ///< none: as long as it takes
    std::function<void()> pause;            ///< between looks
};

/// `antipode wait`: returns when everything that was written on the primary before is applied on
/// the site, or when its database has a transaction that ends at the LSN, or when that repository
/// or file is there as it is on the primary now. `fetch` shows daemons the token. TimedOut: not
/// yet. Unreachable: a daemon does not answer. Unknown: the primary has no such item.
ExitCode wait_for_site(const Config& config, const Fetch& fetch, const Clock& clock,
                       const Output& output, const WaitOptions& options);

}  // namespace antipode::cli
