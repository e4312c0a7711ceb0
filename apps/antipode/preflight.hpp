#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/expected_loss.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

/// `antipode preflight`: what stands in the way of another primary, each with its next step.
namespace antipode::cli {

struct Obstacle {
    std::string what;
    std::string next_step;
    bool may_pass = false;  ///< by itself, within seconds
};

enum class PreflightMode {
    Switchover,  ///< the primary hands over
    Failover,    ///< it is off
    Drill,       ///< it is not, and nothing is to be changed
};

struct Preflight {
    PreflightMode mode = PreflightMode::Switchover;
    std::string from;  ///< the primary; empty: nobody says who it is
    std::string to;
    uint64_t epoch = 0;
    std::vector<Obstacle> blockers;
    std::vector<Obstacle> warnings;
    // Failover: what is known of the loss.
    std::optional<TimePoint> recovery_point;  ///< of the site that would become primary
    std::optional<TimePoint> primary_seen;    ///< its last report there
    std::optional<double> lag_seconds;
    std::optional<uint64_t> events_to_apply{};  ///< that have come
    ExpectedLoss loss{};                        ///< if it were run now
    bool needs_word = false;                    ///< --fenced-by
    // The same, where there is a witness:
    std::optional<double> lease_seconds{};  ///< how long the primary's lease would be waited for
    std::string lease_obstacle{};           ///< why it cannot be waited for

    bool clear() const { return blockers.empty(); }
    /// The command that does it, as it is typed.
    std::string command() const;
    /// Whether what stands in the way may pass by itself, all of it.
    bool may_clear() const;
};

/// Asks the daemons of all sites.
Preflight look_before(const Config& config, const Fetch& fetch, const std::string& to,
                      PreflightMode mode);
nlohmann::ordered_json to_json(const Preflight& preflight);
/// For people; the steps that would follow, and what would be lost.
std::string render(const Preflight& preflight, bool coloured);

/// Prints it. Exit code Blocked when something stands in the way.
ExitCode show_preflight(const Config& config, const Fetch& fetch, const Output& output,
                        const std::string& to, PreflightMode mode);

}  // namespace antipode::cli
