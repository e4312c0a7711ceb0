#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/preflight.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string render(const std::vector<Obstacle>& findings, const std::string& title, Colour colour,
                   bool coloured) {
    std::string text;
    for (const Obstacle& finding : findings) {
        text += paint(title, colour, coloured) + harmless(finding.what) + "\n";
        if (!finding.next_step.empty()) {
            text += "  Try: " + harmless(finding.next_step) + "\n";
        }
    }
    return text;
}

Json to_json(const std::vector<Obstacle>& findings) {
    Json rows = Json::array();
    for (const Obstacle& finding : findings) {
        rows.push_back({{"what", finding.what}, {"next_step", finding.next_step}});
    }
    return rows;
}

Json time_or_null(const std::optional<TimePoint>& time) {
    return time ? Json(to_microseconds(*time)) : Json();
}

/// Of a promotion: what proves that the old primary is off.
std::string render_lease(const Preflight& preflight) {
    if (!preflight.lease_obstacle.empty()) {
        return "that it is off: on your word only (--fenced-by), " +
               harmless(preflight.lease_obstacle) + "\n";
    }
    return preflight.lease_seconds
               ? "that it is off: by its lease, which runs out in " +
                     format_seconds(preflight.lease_seconds) + " unless it is renewed\n"
               : "";
}

}  // namespace

nlohmann::ordered_json to_json(const Preflight& preflight) {
    return {
        {"schema", "antipode.preflight/1"},
        {"mode", preflight.mode == PreflightMode::Switchover ? "switchover" : "failover"},
        {"from", preflight.from.empty() ? Json() : Json(preflight.from)},
        {"to", preflight.to},
        {"epoch", preflight.epoch},
        {"clear", preflight.clear()},
        {"blockers", to_json(preflight.blockers)},
        {"warnings", to_json(preflight.warnings)},
        {"recovery_point_us", time_or_null(preflight.recovery_point)},
        {"primary_seen_us", time_or_null(preflight.primary_seen)},
        {"lag_seconds", preflight.lag_seconds ? Json(*preflight.lag_seconds) : Json()},
        {"lease_seconds", preflight.lease_seconds ? Json(*preflight.lease_seconds) : Json()},
        {"lease_obstacle", preflight.lease_obstacle},
        {"events_to_apply", preflight.events_to_apply ? Json(*preflight.events_to_apply) : Json()},
        {"lost_if_run_now", preflight.loss.found},
        {"lost_if_run_now_problem", preflight.loss.problem},
        {"run", preflight.clear() ? Json(preflight.command()) : Json()}};
}

std::string render(const Preflight& preflight, bool coloured) {
    const bool planned = preflight.mode == PreflightMode::Switchover;
    const std::string from = preflight.from.empty() ? std::string(unknown) : preflight.from;
    std::string text = std::string(planned ? "switchover " : "promote ") + from + " -> " +
                       preflight.to + ", epoch " + std::to_string(preflight.epoch) + " -> " +
                       std::to_string(preflight.epoch + 1) + "\n";
    if (planned) {
        text += " 1 fence " + from + "   2 capture all that was written   3 apply it on " +
                preflight.to +
                ", compare\n ------------- point of no return -------------\n 4 open " +
                preflight.to + " for writes   5 " + from + " follows it, without a new copy\n";
    } else {
        text += " 1 apply on " + preflight.to + " all that came (" +
                format_count(preflight.events_to_apply) +
                " events to go)   2 write the loss report\n ------------- point of no return "
                "-------------\n 3 open " +
                preflight.to + " for writes; " + from +
                " stays fenced when it comes back, until it may rejoin\n";
        text += render(preflight.loss, from);
        text +=
            "last report of " + from + ": " +
            (preflight.primary_seen ? to_iso8601(*preflight.primary_seen) : std::string(unknown)) +
            "\n";
        text += render_lease(preflight);
    }
    text += render(preflight.blockers, "blocked: ", Colour::Red, coloured);
    text += render(preflight.warnings, "warning: ", Colour::Yellow, coloured);
    if (preflight.clear()) {
        text += paint("nothing stands in the way", Colour::Green, coloured) +
                "\nRun: " + preflight.command() + "\n";
    }
    return text;
}

}  // namespace antipode::cli
