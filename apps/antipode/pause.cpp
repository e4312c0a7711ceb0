#include "apps/antipode/pause.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"
#include "base/duration.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::hours longest(30 * 24);

std::chrono::milliseconds duration_of(const std::string& text) {
    const auto duration = parse_duration(text);
    if (!duration || *duration <= std::chrono::milliseconds(0) || *duration > longest) {
        throw CommandError(ExitCode::Usage, "\"" + harmless(text) + "\" is no time from 1s to 30d",
                           "antipode pause --for 2h --reason TEXT");
    }
    return *duration;
}

ExitCode ask(const Config& config, const OpenBucket& open, const Clock& clock, const Output& output,
             const PauseOptions& options, v1::SiteRequest request, const std::string& done) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    SiteRequester requests(site, open, clock, options.pause);
    Json rows = Json::array();
    for (const StoreId& store : find_stores(config, options.store)) {
        request.set_store(store.to_string());
        requests.ask(request);
        rows.push_back(store.to_string());
        if (!output.json()) {
            output.out << site.name << " " << store.to_string() << ": " << done << "\n";
        }
    }
    if (output.json()) {
        Json document{{"schema", "antipode.pause/1"},
                      {"site", site.name},
                      {"stores", rows},
                      {"paused_until_us", nullptr}};
        if (request.until_us() != 0) {
            document["paused_until_us"] = request.until_us();
        }
        output.out << document.dump() << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace

ExitCode pause_site(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const PauseOptions& options) {
    const TimePoint until = clock.now() + duration_of(options.lasts);
    v1::SiteRequest request;
    request.set_action("pause");
    request.set_reason(options.reason);
    request.set_operator_name(operator_name());
    request.set_until_us(to_microseconds(until));
    return ask(config, open, clock, output, options, request,
               "paused until " + to_iso8601(until) + "; antipode resume");
}

ExitCode resume_site(const Config& config, const OpenBucket& open, const Clock& clock,
                     const Output& output, const PauseOptions& options) {
    v1::SiteRequest request;
    request.set_action("resume");
    return ask(config, open, clock, output, options, request, "resumed");
}

}  // namespace antipode::cli
