#pragma once

#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"

namespace antipode::cli {

/// `antipode status [SITE]`. When that site's daemon does not answer, the other sites' daemons are
/// asked; their answer is printed, and what this site's daemon said last, from its state directory.
/// The result is still Unreachable.
ExitCode show_status(const Config& config, const Fetch& fetch, const Clock& clock,
                     const Output& output, const std::optional<std::string>& site);

/// `antipode lag [SITE]`: asks that site's own daemon.
ExitCode show_lag(const Config& config, const Fetch& fetch, const Output& output,
                  const std::optional<std::string>& site);

/// The configured site of that name. Throws CommandError{Usage} that lists the known ones.
const Config::Site& require_site(const Config& config, const std::string& name);

/// Where a site's daemon is reached from here: this machine's own on its listening address.
std::string daemon_of(const Config& config, const Config::Site& site);

}  // namespace antipode::cli
