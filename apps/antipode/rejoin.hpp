#pragma once

#include <optional>
#include <string>

#include "apps/antipode/change_primary.hpp"

/// `antipode rejoin`, `antipode quarantine`, `antipode loss`: the old primary comes back.
namespace antipode::cli {

/// Lets the fenced site `options.to` (empty: this one) follow the new primary, once what only it
/// has is in quarantine, and watches that. Throws CommandError: Failed (it is not fenced), Usage
/// (not confirmed), TimedOut (it goes on without being watched).
ExitCode rejoin(const Config& config, const OpenBucket& open, const Fetch& fetch,
                const Clock& clock, const Output& output, const ChangeOptions& options);

/// The quarantines in this site's state directory.
ExitCode list_quarantines(const Config& config, const Output& output);
/// What is in one of them. `operation` empty: the only one.
ExitCode show_quarantine(const Config& config, const Output& output, const std::string& operation);

/// What a promotion has lost, as `site` (default: this one) knows it. `operation` empty: the newest
/// promotion.
ExitCode show_loss(const Config& config, const Fetch& fetch, const Output& output,
                   const std::string& operation, const std::optional<std::string>& site);

}  // namespace antipode::cli
