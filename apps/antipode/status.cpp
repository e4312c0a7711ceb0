#include "apps/antipode/status.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/status_view.hpp"
#include "base/places.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

void print_status(const StatusReport& report, const Output& output,
                  const std::optional<std::string>& only) {
    if (!output.json()) {
        output.out << render_status(report, only, output.coloured, output.wide());
        return;
    }
    Json document = Json::parse(report.json);
    if (only) {
        Json rows = Json::array();
        for (const Json& row : document["sites"]) {
            if (row.value("site", "") == *only) {
                rows.push_back(row);
            }
        }
        document["sites"] = rows;
    }
    output.out << document.dump() << "\n";
}

/// Asks the sites one after the other until one answers.
std::optional<StatusReport> ask_others(const Config& config, const Fetch& fetch,
                                       const std::string& silent) {
    for (const Config::Site& site : config.sites) {
        if (site.name == silent) {
            continue;
        }
        try {
            return get_status(fetch, daemon_of(config, site));
        } catch (const CommandError&) {
            // The error of the daemon that was asked first is what the operator gets to see.
        }
    }
    return std::nullopt;
}

/// What this site's daemon said last; nullopt: nothing, or nobody lets us read it.
std::optional<StatusReport> read_saved(const Config& config) {
    const auto file = saved_status(config.state_dir);
    std::ifstream stream(file);
    std::ostringstream text;
    text << stream.rdbuf();
    try {
        return stream ? std::optional(StatusReport::parse(text.str(), file.string()))
                      : std::nullopt;
    } catch (const CommandError&) {
        return std::nullopt;
    }
}

/// What was true then is not known to be now.
void grow_old(StatusReport& report, TimePoint now) {
    const std::string age = format_age(now - report.now);
    report.now = now;
    for (SiteRow& row : report.sites) {
        row.reason = "it was " + row.state + " " + age + " ago" +
                     (row.reason.empty() ? "" : ": " + row.reason);
        row.state = "unknown";
        row.lag_seconds.reset();
    }
}

void print_saved(StatusReport saved, const Clock& clock, const Output& output,
                 const std::optional<std::string>& site) {
    const TimePoint said = saved.now;
    if (output.json()) {
        Json document = Json::parse(saved.json);
        document["saved_us"] = to_microseconds(said);
        saved.json = document.dump();
        print_status(saved, output, site);
        return;
    }
    output.out.flush();
    output.error << "What antipoded of " << saved.site << " said last, at "
                 << format_time(said, clock.now()) << ":\n";
    output.error.flush();
    grow_old(saved, clock.now());
    print_status(saved, output, site);
}

}  // namespace

const Config::Site& require_site(const Config& config, const std::string& name) {
    const Config::Site* site = config.find_site(name);
    if (site == nullptr) {
        std::string known;
        for (const Config::Site& candidate : config.sites) {
            known += (known.empty() ? "" : ", ") + candidate.name;
        }
        throw CommandError(ExitCode::Usage, "there is no site \"" + name + "\" among " + known,
                           "antipode sites list");
    }
    return *site;
}

std::string daemon_of(const Config& config, const Config::Site& site) {
    return site.name == config.site ? local_daemon(config) : site.http;
}

ExitCode show_status(const Config& config, const Fetch& fetch, const Clock& clock,
                     const Output& output, const std::optional<std::string>& site) {
    const Config::Site& asked = require_site(config, site.value_or(config.site));
    try {
        print_status(get_status(fetch, daemon_of(config, asked)), output, site);
        return ExitCode::Ok;
    } catch (const CommandError& error) {
        if (error.code() != ExitCode::Unreachable) {
            throw;
        }
        const auto other = ask_others(config, fetch, asked.name);
        const auto saved = asked.name == config.site ? read_saved(config) : std::nullopt;
        if (!other && !saved) {
            throw;
        }
        report(output, error);
        if (other && !output.json()) {
            output.error << "What " << other->site << " knows:\n";
            output.error.flush();
        }
        if (other) {
            print_status(*other, output, site);
        }
        if (saved && !(other && output.json())) {
            print_saved(*saved, clock, output, site);
        }
        return ExitCode::Unreachable;
    }
}

ExitCode show_lag(const Config& config, const Fetch& fetch, const Output& output,
                  const std::optional<std::string>& site) {
    const Config::Site& asked = require_site(config, site.value_or(config.site));
    const StatusReport report = get_status(fetch, daemon_of(config, asked));
    if (!output.json()) {
        output.out << render_lag(report, output.coloured);
        return ExitCode::Ok;
    }
    const Json status = Json::parse(report.json);
    Json document = {{"schema", "antipode.lag/1"}};
    for (const char* key : {"cluster", "site", "role", "now_us", "recovery_point_us",
                            "recovery_point_reason", "stream", "stores"}) {
        document[key] = status.contains(key) ? status[key] : Json();
    }
    output.out << document.dump() << "\n";
    return ExitCode::Ok;
}

}  // namespace antipode::cli
