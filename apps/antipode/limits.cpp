#include "apps/antipode/limits.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

bool is_rate(const std::string& name) {
    return name.ends_with("_per_second");
}

/// "none", "20 MB/s", "4"
std::string show_value(const std::string& name, const Json& value) {
    if (!value.is_number_unsigned()) {
        return std::string(unknown);
    }
    const auto number = value.get<uint64_t>();
    if (!is_rate(name)) {
        return std::to_string(number);
    }
    return number == 0 ? "none" : format_bytes(number) + "/s";
}

[[noreturn]] void refuse(const std::string& text) {
    throw CommandError(ExitCode::Usage, "\"" + harmless(text) + "\" is no NAME=NUMBER",
                       "antipode limits set bulk_bytes_per_second=20M pull_workers=default");
}

uint64_t factor_of(char unit) {
    switch (unit) {
        case 'k':
            return 1'000;
        case 'M':
            return 1'000'000;
        case 'G':
            return 1'000'000'000;
        default:
            return 0;
    }
}

v1::SiteRequest::Limit read_limit(const std::string& text) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
        refuse(text);
    }
    v1::SiteRequest::Limit limit;
    limit.set_name(text.substr(0, equals));
    std::string value = text.substr(equals + 1);
    if (value == "default") {
        limit.set_configured(true);
        return limit;
    }
    if (value == "none") {
        value = "0";
    }
    uint64_t factor = 1;
    if (!value.empty() && factor_of(value.back()) != 0) {
        factor = factor_of(value.back());
        value.pop_back();
    }
    constexpr size_t most_digits = 9;
    if (value.empty() || value.size() > (factor == 1 ? 2 * most_digits : most_digits) ||
        value.find_first_not_of("0123456789") != std::string::npos) {
        refuse(text);
    }
    limit.set_value(std::stoull(value) * factor);
    return limit;
}

}  // namespace

ExitCode show_limits(const Config& config, const Fetch& fetch, const Output& output,
                     const LimitsOptions& options) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    const StatusReport report = get_status(fetch, daemon_of(config, site));
    const Json limits = Json::parse(report.json).value("limits", Json());
    if (!limits.is_object()) {
        throw CommandError(ExitCode::Unknown, harmless(report.site) + " does not tell its limits",
                           "compare the versions of Antipode (antipode version)");
    }
    if (output.json()) {
        output.out << Json{{"schema", "antipode.limits/1"},
                           {"site", report.site},
                           {"limits", limits}}
                          .dump()
                   << "\n";
        return ExitCode::Ok;
    }
    Table table({{"LIMIT"},
                 {"VALUE", Table::Align::Right},
                 {"CONFIGURED", Table::Align::Right},
                 {"CHANGED"}});
    for (const auto& [name, limit] : limits.items()) {
        const bool changed = limit["changed_us"].is_number_integer();
        table.add({harmless(name), show_value(name, limit["value"]),
                   show_value(name, limit["configured"]),
                   changed ? format_age(report.now -
                                        from_microseconds(limit["changed_us"].get<int64_t>())) +
                                 " ago by " + harmless(limit["operator"].get<std::string>())
                           : std::string(not_applicable)});
    }
    output.out << table.render(output.coloured);
    return ExitCode::Ok;
}

ExitCode set_limits(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const LimitsOptions& options) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    v1::SiteRequest request;
    request.set_action("set-limits");
    request.set_operator_name(operator_name());
    for (const std::string& value : options.values) {
        *request.add_limits() = read_limit(value);
    }
    SiteRequester(site, open, clock, options.pause).ask(request);
    Json set = Json::object();
    for (const v1::SiteRequest::Limit& limit : request.limits()) {
        set[limit.name()] = limit.configured() ? Json() : Json(limit.value());
        if (!output.json()) {
            output.out << site.name << ": " << limit.name() << " is "
                       << (limit.configured() ? "as configured"
                                              : show_value(limit.name(), set[limit.name()]))
                       << " from now on\n";
        }
    }
    if (output.json()) {
        output.out
            << Json{{"schema", "antipode.limits-set/1"}, {"site", site.name}, {"set", set}}.dump()
            << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
