#include "apps/antipode/drill.hpp"

#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/members.hpp"
#include "apps/antipode/preflight.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string count_at(const Json& json, const char* key) {
    const auto number = number_at(json, key);
    return number ? std::to_string(static_cast<int64_t>(*number)) : std::string(unknown);
}

/// A command that does not know of rehearsals does what it always does.
void confirm(const Output& output, const DrillOptions& options, const std::string& site) {
    if (!options.with_commands || options.confirmed == site) {
        return;
    }
    output.error << "before_open_command and after_open_command of " << site
                 << " will be run with ANTIPODE_REHEARSAL=1. If they do not heed that, they start "
                    "the service and switch DNS.\nType the site's name, "
                 << site << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != site) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was run",
                           "antipode drill without --with-commands, or with --confirm " + site);
    }
}

Json find_drill(const Config& config, const Fetch& fetch, const Config::Site& site,
                const std::string& name) {
    try {
        for (const Json& drill : drills_of(config, fetch, site)) {
            if (text_at(drill, "drill") == name) {
                return drill;
            }
        }
    } catch (const CommandError& error) {
        if (error.code() != ExitCode::Unreachable) {
            throw;  // it may be restarted
        }
    }
    return {};
}

/// Until it is over.
Json watch(const Config& config, const Fetch& fetch, const Clock& clock,
           const DrillOptions& options, const Config::Site& site, const std::string& name) {
    const SteadyTime end =
        clock.steady_now() +
        std::chrono::milliseconds(static_cast<int64_t>(options.timeout_seconds * 1000));
    while (true) {
        const Json drill = find_drill(config, fetch, site, name);
        if (drill.is_object() && text_at(drill, "outcome") != "runs") {
            return drill;
        }
        if (clock.steady_now() >= end) {
            throw CommandError(ExitCode::TimedOut, name + " is not done yet; it goes on",
                               "antipode history");
        }
        options.pause();
    }
}

std::string listed(const Json& drill, const char* key, Colour colour, bool coloured) {
    std::string text;
    for (const Json& finding : drill.value(key, Json::array())) {
        text += paint(key == std::string_view("blockers") ? "blocked: " : "warning: ", colour,
                      coloured) +
                harmless(text_at(finding, "what")) + "\n";
        const std::string next = text_at(finding, "next_step");
        text += next.empty() ? "" : "  Try: " + harmless(next) + "\n";
    }
    return text;
}

std::string render(const Json& drill, bool coloured) {
    Table table({{"STEP"}, {"TOOK", Table::Align::Right}, {"WHAT"}});
    for (const Json& step : drill.value("steps", Json::array())) {
        const std::string problem = text_at(step, "problem");
        table.add({harmless(text_at(step, "step")),
                   format_seconds(number_at(step, "seconds")),
                   {harmless(problem.empty() ? text_at(step, "text") : problem),
                    problem.empty() ? Colour::Plain : Colour::Red}});
    }
    std::string missing;
    for (const Json& step : drill.value("not_measured", Json::array())) {
        missing += (missing.empty() ? "" : ", ") + step.get<std::string>();
    }
    std::string named;
    for (const Json& loss : drill.value("losses", Json::array())) {
        named += render_one_loss(loss);
    }
    const std::string site = text_at(drill, "site");
    const std::string primary = text_at(drill, "primary");
    const auto since = number_at(drill, "unknown_since_us");
    return table.render(coloured) + harmless(site) + " would be open " +
           format_seconds(number_at(drill, "open_seconds")) +
           " after the word, and what these take: " + harmless(missing) + "\nLOST IF " +
           harmless(primary) + " HAD DIED THEN  known: " + count_at(drill, "known_lost") +
           "; unknown: what it wrote after " +
           (since ? to_iso8601(from_microseconds(static_cast<int64_t>(*since)))
                  : std::string(unknown)) +
           " (" + format_seconds(number_at(drill, "unknown_seconds")) + ")\n" + named +
           "here and still to be applied: " + count_at(drill, "not_applied_yet") + "\n" +
           listed(drill, "blockers", Colour::Red, coloured) +
           listed(drill, "warnings", Colour::Yellow, coloured);
}

/// What the sites' statuses say is in the way: lag, items that failed, how the primary is fenced.
void add_obstacles(Json& drill, const Preflight& preflight) {
    const auto add = [&](const char* key, const std::vector<Obstacle>& found) {
        for (const Obstacle& obstacle : found) {
            const Json row = {{"what", obstacle.what}, {"next_step", obstacle.next_step}};
            if (!drill.contains(key)) {
                drill[key] = Json::array();
            }
            drill[key].push_back(row);
        }
    };
    drill["blockers"] = Json::array();  // the daemon's are among them
    drill["warnings"] = Json::array();
    add("blockers", preflight.blockers);
    add("warnings", preflight.warnings);
}

ExitCode conclude(const Json& drill, const Output& output) {
    if (output.json()) {
        output.out << drill.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
        output.out << render(drill, output.coloured);
    }
    const std::string outcome = text_at(drill, "outcome");
    if (outcome == "failed" || outcome == "stopped") {
        throw CommandError(
            ExitCode::Failed,
            text_at(drill, "drill") + " has " + outcome + ": " + text_at(drill, "problem"),
            "mend it, then antipode drill " + text_at(drill, "site"));
    }
    return drill["blockers"].empty() ? ExitCode::Ok : ExitCode::Blocked;
}

}  // namespace

std::vector<nlohmann::ordered_json> drills_of(const Config& config, const Fetch& fetch,
                                              const Config::Site& site) {
    std::vector<Json> drills;
    std::string answer;
    try {
        answer = get(fetch, daemon_of(config, site), "/v1/drills");
    } catch (const CommandError& error) {
        if (error.code() == ExitCode::Unreachable) {
            throw;
        }
        return drills;
    }
    std::istringstream lines(answer);
    for (std::string line; std::getline(lines, line);) {
        if (Json drill = Json::parse(line, nullptr, false); drill.is_object()) {
            drills.push_back(std::move(drill));
        }
    }
    return drills;
}

std::string drill_in_words(const nlohmann::ordered_json& drill) {
    const std::string outcome = text_at(drill, "outcome");
    if (outcome == "runs") {
        return "runs";
    }
    if (outcome == "failed" || outcome == "stopped") {
        return outcome +
               (text_at(drill, "problem").empty() ? "" : ": " + text_at(drill, "problem"));
    }
    return std::string(outcome == "blocked" ? "blocked; " : "") + "would be open after " +
           format_seconds(number_at(drill, "open_seconds")) +
           "; lost: " + count_at(drill, "known_lost") + " known, " +
           format_seconds(number_at(drill, "unknown_seconds")) + " unknown";
}

ExitCode run_drill(const Config& config, const OpenBucket& open, const Fetch& fetch,
                   const Clock& clock, const Output& output, const DrillOptions& options) {
    const Config::Site& site =
        require_site(config, options.site.empty() ? config.site : options.site);
    const StatusReport seen = get_status(fetch, daemon_of(config, site));
    if (seen.role != "secondary") {
        throw CommandError(
            ExitCode::Usage,
            site.name + " is no secondary that could rehearse, but \"" + harmless(seen.role) + "\"",
            "antipode drill SECONDARY");
    }
    confirm(output, options, site.name);
    const Preflight preflight = look_before(config, fetch, site.name, PreflightMode::Drill);
    v1::SiteRequest request;
    request.set_action("drill");
    request.set_operator_name(operator_name());
    const std::string name = "drill-" + std::to_string(to_microseconds(clock.now()));
    request.set_reason(name);
    if (options.with_commands) {
        request.add_items("commands");
    }
    SiteRequester(site, open, clock, options.pause).ask(request);
    Json drill = watch(config, fetch, clock, options, site, name);
    add_obstacles(drill, preflight);
    return conclude(drill, output);
}

}  // namespace antipode::cli
