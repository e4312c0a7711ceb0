#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode::cli {

struct PauseOptions {
    std::optional<std::string> site;   ///< default: this one
    std::optional<std::string> store;  ///< default: all
    std::string reason;
    std::string lasts = "1d";     ///< "30m", "2h", "7d"
    std::function<void()> pause;  ///< between looks
};

/// `antipode pause`: a secondary applies nothing of the store until it is resumed or the time is
/// over. It goes on receiving.
ExitCode pause_site(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const PauseOptions& options);
ExitCode resume_site(const Config& config, const OpenBucket& open, const Clock& clock,
                     const Output& output, const PauseOptions& options);

}  // namespace antipode::cli
