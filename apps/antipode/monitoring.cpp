#include "apps/antipode/monitoring.hpp"

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/preflight.hpp"
#include "apps/antipode/shell.hpp"
#include "apps/antipode/status.hpp"
#include "apps/antipode/status_view.hpp"
#include "base/duration.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string_view word_of(PluginState state) {
    switch (state) {
        case PluginState::Ok:
            return "OK";
        case PluginState::Warning:
            return "WARNING";
        case PluginState::Critical:
            return "CRITICAL";
        case PluginState::Unknown:
            return "UNKNOWN";
    }
    return "UNKNOWN";
}

/// What is known to be bad is said before what is not known.
int badness(PluginState state) {
    switch (state) {
        case PluginState::Ok:
            return 0;
        case PluginState::Unknown:
            return 1;
        case PluginState::Warning:
            return 2;
        case PluginState::Critical:
            return 3;
    }
    return 3;
}

double seconds_in(auto duration) {
    return std::chrono::duration<double>(duration).count();
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.10g", value);
    return text;
}

/// "|" and line ends mean something to who reads it.
std::string plain(const std::string& text) {
    std::string safe = harmless(text);
    std::replace(safe.begin(), safe.end(), '|', '/');
    return safe;
}

/// What one plugin found, the worst first.
class Findings {
  public:
    explicit Findings(std::string what) : what_(std::move(what)) {}

    void add(PluginState state, const std::string& text) { found_.push_back({state, text}); }
    void measure(const std::string& label, std::optional<double> value, const std::string& limits,
                 const std::string& unit) {
        // A label must not hold these (section 2.6).
        std::string name = plain(label);
        std::replace(name.begin(), name.end(), '\'', '_');
        std::replace(name.begin(), name.end(), '=', '_');
        data_ += (data_.empty() ? "'" : " '") + name +
                 "'=" + (value ? number(*value) + unit : "U") + limits;
    }
    /// By how much it exceeds its limits.
    static PluginState judge(double value, double warning, double critical) {
        return value > critical  ? PluginState::Critical
               : value > warning ? PluginState::Warning
                                 : PluginState::Ok;
    }

    PluginState print(const Output& output) {
        std::stable_sort(found_.begin(), found_.end(), [](const Found& left, const Found& right) {
            return badness(left.state) > badness(right.state);
        });
        const PluginState state = found_.empty() ? PluginState::Unknown : found_.front().state;
        std::string text;
        for (const Found& found : found_) {
            // What is well is not told beside what is not.
            if (found.state != PluginState::Ok || state == PluginState::Ok) {
                text += (text.empty() ? "" : "; ") + plain(found.text);
            }
        }
        text = text.empty() ? "nothing is known" : text;
        if (output.json()) {
            const Json document = {{"schema", "antipode.check/1"},
                                   {"check", what_},
                                   {"state", word_of(state)},
                                   {"exit_code", static_cast<int>(state)},
                                   {"message", text},
                                   {"performance_data", data_}};
            output.out << document.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
            return state;
        }
        output.out << "ANTIPODE " << what_ << " " << word_of(state) << " - " << text
                   << (data_.empty() ? "" : " | " + data_) << "\n";
        return state;
    }

  private:
    struct Found {
        PluginState state;
        std::string text;
    };
    const std::string what_;
    std::vector<Found> found_;
    std::string data_;
};

std::string limits_of(std::chrono::milliseconds warning, std::chrono::milliseconds critical) {
    return ";" + number(seconds_in(warning)) + ";" + number(seconds_in(critical)) + ";0";
}

/// The secondaries that are asked about: the one named, this one, or all as the primary knows them.
std::vector<SiteRow> secondaries(const StatusReport& report,
                                 const std::optional<std::string>& named) {
    const bool all = !named && report.role == "primary";
    std::vector<SiteRow> rows;
    for (const SiteRow& row : report.sites) {
        if (all ? row.role != "primary" : row.site == named.value_or(report.site)) {
            rows.push_back(row);
        }
    }
    return rows;
}

StatusReport status_for(const Config& config, const Fetch& fetch,
                        const MonitoringOptions& options) {
    const Config::Site& asked = require_site(config, options.site.value_or(config.site));
    return get_status(fetch, daemon_of(config, asked));
}

/// True: nothing else can be said of the site.
bool add_unknown(const SiteRow& row, const StatusReport& report, Findings& findings) {
    if (!row.report_at || report.now - *row.report_at > stale_after) {
        findings.add(PluginState::Unknown,
                     row.site + (row.report_at ? " said nothing for " +
                                                     format_age(report.now - *row.report_at)
                                               : " has not reported yet"));
        return true;
    }
    if (row.role != "secondary") {
        findings.add(PluginState::Unknown, row.site + " is no secondary, but " +
                                               (row.role.empty() ? "unknown" : row.role));
        return true;
    }
    return false;
}

void judge_lag(const SiteRow& row, const StatusReport& report, const MonitoringOptions& options,
               Findings& findings) {
    const bool unknown_site = add_unknown(row, report, findings);
    std::optional<double> lag;
    if (!unknown_site && row.recovery_point) {
        lag = std::max(0.0, seconds_in(report.now - *row.recovery_point));
        findings.add(Findings::judge(*lag, seconds_in(options.lag_warning),
                                     seconds_in(options.lag_critical)),
                     row.site + " is " + format_seconds(lag) + " behind" +
                         (row.reason.empty() ? "" : ": " + row.reason));
    } else if (!unknown_site) {
        findings.add(PluginState::Unknown, "the recovery point of " + row.site + " is unknown" +
                                               (row.reason.empty() ? "" : ": " + row.reason));
    }
    findings.measure(row.site, lag, limits_of(options.lag_warning, options.lag_critical), "s");
}

void judge_check(const SiteRow& row, const CheckRow& check, TimePoint now,
                 const MonitoringOptions& options, Findings& findings) {
    const std::string whose = row.site + " " + check.store;
    const bool database = !check.differed;
    if (!check.what.empty()) {
        const bool differs = database && check.differing.value_or(0) > 0;
        findings.add(differs ? PluginState::Critical : PluginState::Warning,
                     whose + ": " + check.what);
    }
    std::optional<double> age;
    if (check.checked) {
        age = std::max(0.0, seconds_in(now - *check.checked));
        findings.add(Findings::judge(*age, seconds_in(options.age_warning),
                                     seconds_in(options.age_critical)),
                     whose + " was " + (database ? "compared " : "read again within ") +
                         format_seconds(age) + (database ? " ago" : ""));
    } else {
        findings.add(PluginState::Unknown,
                     whose + (database ? " was not compared yet" : " was not all read again yet"));
    }
    findings.measure(whose, age, limits_of(options.age_warning, options.age_critical), "s");
}

void judge_verified(const SiteRow& row, const StatusReport& report,
                    const MonitoringOptions& options, Findings& findings) {
    if (add_unknown(row, report, findings)) {
        return;
    }
    for (const CheckRow& check : row.checks) {
        judge_check(row, check, report.now, options, findings);
    }
    if (row.checks.empty()) {
        findings.add(PluginState::Unknown, row.site + " says nothing of its checks");
    }
    if (row.parked.value_or(0) > 0) {
        findings.add(PluginState::Warning, row.site + ": " + counted(*row.parked, "item", "items") +
                                               " failed, antipode failures " + row.site);
    }
    findings.measure(row.site + " failed",
                     row.parked ? std::optional(static_cast<double>(*row.parked)) : std::nullopt,
                     ";0;;0", "");
}

using Judge = void (*)(const SiteRow&, const StatusReport&, const MonitoringOptions&, Findings&);

PluginState judge_sites(const std::string& what, const Config& config, const Fetch& fetch,
                        const Output& output, const MonitoringOptions& options, Judge judge) {
    const StatusReport report = status_for(config, fetch, options);
    Findings findings(what);
    for (const SiteRow& row : secondaries(report, options.site)) {
        judge(row, report, options, findings);
    }
    return findings.print(output);
}

CLI::Option* add_duration(CLI::App& command, const std::string& names, const std::string& help,
                          std::chrono::milliseconds& value) {
    return command.add_option_function<std::string>(
        names,
        [&value, names](const std::string& text) {
            const auto duration = parse_duration(text);
            if (!duration) {
                throw CLI::ValidationError(names, "\"" + text + "\" is no duration: 30s, 5m, 8d");
            }
            value = *duration;
        },
        help);
}

}  // namespace

PluginState check_lag(const Config& config, const Fetch& fetch, const Output& output,
                      const MonitoringOptions& options) {
    return judge_sites("LAG", config, fetch, output, options, judge_lag);
}

PluginState check_verified(const Config& config, const Fetch& fetch, const Output& output,
                           const MonitoringOptions& options) {
    return judge_sites("VERIFIED", config, fetch, output, options, judge_verified);
}

PluginState check_promote_ready(const Config& config, const Fetch& fetch, const Output& output,
                                const MonitoringOptions& options) {
    const std::string site = options.site.value_or(config.site);
    const Preflight preflight = look_before(config, fetch, site, PreflightMode::Drill);
    Findings findings("PROMOTE-READY");
    for (const Obstacle& blocker : preflight.blockers) {
        findings.add(PluginState::Critical, blocker.what);
    }
    for (const Obstacle& warning : preflight.warnings) {
        findings.add(PluginState::Warning, warning.what);
    }
    if (!preflight.lease_obstacle.empty()) {
        findings.add(PluginState::Warning,
                     "a promotion would need --fenced-by: " + preflight.lease_obstacle);
    }
    if (preflight.clear()) {
        findings.add(PluginState::Ok, site + " could be promoted");
    }
    const auto count = [&](const std::string& label, const auto& found, const char* limits) {
        findings.measure(label, static_cast<double>(found.size()), limits, "");
    };
    count("blockers", preflight.blockers, ";;0;0");
    count("warnings", preflight.warnings, ";0;;0");
    return findings.print(output);
}

PluginState report_unchecked(const Output& output, const std::string& what,
                             const std::string& problem) {
    Findings findings(what);
    findings.add(PluginState::Unknown, problem);
    return findings.print(output);
}

void add_monitoring(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
                    const Output& output, MonitoringOptions& options) {
    CLI::App* const check = add(
        app, "check", "a plugin for Nagios and Icinga: 0 ok, 1 warning, 2 critical, 3 unknown", {});
    const auto add_one = [&](const std::string& name, const std::string& what,
                             const std::string& help, auto find) {
        // A plugin answers on one line, also when there is nothing to ask.
        CLI::App* const command = add(*check, name, help, [=, &output, &options] {
            try {
                return static_cast<ExitCode>(find(config(), fetch_over_http, output, options));
            } catch (const std::exception& error) {
                return static_cast<ExitCode>(report_unchecked(output, what, error.what()));
            }
        });
        command->add_option("SITE", options.site, "default: this one; on the primary all others");
        return command;
    };
    CLI::App* const lag =
        add_one("lag", "LAG", "how far a site's recovery point is behind", check_lag);
    add_duration(*lag, "-w,--warning", "from this lag on; default: 60s", options.lag_warning);
    add_duration(*lag, "-c,--critical", "from this lag on; default: 5m", options.lag_critical);
    CLI::App* const verified =
        add_one("verified", "VERIFIED", "whether a site was compared lately, and nothing differs",
                check_verified);
    add_duration(*verified, "-w,--warning", "at this age of a check; default: 8d",
                 options.age_warning);
    add_duration(*verified, "-c,--critical", "at this age of a check; default: 15d",
                 options.age_critical);
    add_one("promote-ready", "PROMOTE-READY", "whether a site could be promoted now",
            check_promote_ready);
}

}  // namespace antipode::cli
