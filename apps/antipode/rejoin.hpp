#pragma once

#include <optional>
#include <string>

#include "apps/antipode/change_primary.hpp"

/// `antipode rejoin`, `antipode loss`: the old primary comes back.
namespace antipode::cli {

/// Lets the fenced site `options.to` (empty: this one) follow the new primary, once what only it
/// has is in quarantine, and watches that. Throws CommandError: Failed (it is not fenced), Usage
/// (not confirmed), TimedOut (it goes on without being watched).
ExitCode rejoin(const Config& config, const OpenBucket& open, const Fetch& fetch,
                const Clock& clock, const Output& output, const ChangeOptions& options);

/// What a promotion has lost, as `site` (default: this one) knows it. `operation` empty: the newest
/// promotion.
ExitCode show_loss(const Config& config, const Fetch& fetch, const Output& output,
                   const std::string& operation, const std::optional<std::string>& site);

}  // namespace antipode::cli
