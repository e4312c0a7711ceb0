#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode::cli {

struct DeletionsOptions {
    std::optional<std::string> site;   ///< default: the primary
    std::optional<std::string> store;  ///< of release and discard
    bool yes = false;
    std::optional<std::string> confirmed;    ///< the store's id, instead of typing it
    std::function<std::string()> read_line;  ///< from the operator
    std::function<void()> pause;             ///< between looks
};

/// `antipode deletions`: deletions that the primary holds because they are so many.
ExitCode show_deletions(const Config& config, const Fetch& fetch, const Output& output,
                        const DeletionsOptions& options);
/// They are meant: secondaries delete, too.
ExitCode release_deletions(const Config& config, const OpenBucket& open, const Fetch& fetch,
                           const Clock& clock, const Output& output,
                           const DeletionsOptions& options);
/// They were a mistake: secondaries keep these items, whatever becomes of them on the primary.
ExitCode discard_deletions(const Config& config, const OpenBucket& open, const Fetch& fetch,
                           const Clock& clock, const Output& output,
                           const DeletionsOptions& options);

}  // namespace antipode::cli
