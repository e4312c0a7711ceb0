#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

/// `antipode drill`: a secondary rehearses its promotion; nothing is promoted.
namespace antipode::cli {

struct DrillOptions {
    std::string site;                             ///< empty: this one
    bool with_commands = false;                   ///< its commands run, told that it is a rehearsal
    std::string confirmed;                        ///< the site's name, typed in advance
    double timeout_seconds = 300;                 ///< of watching
    std::function<std::string()> read_line = {};  ///< what the operator types
    std::function<void()> pause = {};             ///< between two looks
};

/// Asks the site's daemon for it and prints what it found. Blocked: something stands in the way of
/// a promotion. Throws CommandError: Usage (no secondary), Failed (a step cannot work), TimedOut
/// (it goes on), Unreachable.
ExitCode run_drill(const Config& config, const OpenBucket& open, const Fetch& fetch,
                   const Clock& clock, const Output& output, const DrillOptions& options);

/// The drills that a site's daemon remembers, oldest first. Throws CommandError{Unreachable}; an
/// older daemon remembers none.
std::vector<nlohmann::ordered_json> drills_of(const Config& config, const Fetch& fetch,
                                              const Config::Site& site);
/// "would be open after 4.2s; lost: 0 known, 1.2s unknown"
std::string drill_in_words(const nlohmann::ordered_json& drill);

}  // namespace antipode::cli
