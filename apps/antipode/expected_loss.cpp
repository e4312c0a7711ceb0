#include "apps/antipode/expected_loss.hpp"

#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/members.hpp"
#include "apps/antipode/status.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Each takes a second while the daemon looks.
constexpr int tries = 5;

std::string time_of(const Json& found, const char* key) {
    const auto time = number_at(found, key);
    return time ? to_iso8601(from_microseconds(static_cast<int64_t>(*time))) : std::string(unknown);
}

std::string count_of(const Json& found, const char* key) {
    const auto count = number_at(found, key);
    return count ? counted(static_cast<uint64_t>(*count), "change", "changes")
                 : std::string(unknown);
}

std::string render_unknown(const Json& found, const std::string& from) {
    const auto seconds = number_at(found, "unknown_seconds");
    return "  unknown: " +
           (seconds ? "what " + from + " wrote in the last " + format_seconds(seconds) +
                          ", after " + time_of(found, "unknown_since_us") + " by its own clock"
                    : "since when, and so how much: no proof of " + from + " has come here") +
           "\n";
}

}  // namespace

ExpectedLoss ask_expected_loss(const Config& config, const Fetch& fetch, const Config::Site& site) {
    ExpectedLoss loss;
    for (int i = 0; i < tries; ++i) {
        try {
            loss.found = Json::parse(get(fetch, daemon_of(config, site), "/v1/expected-loss"),
                                     nullptr, false);
            if (text_at(loss.found, "schema") == "antipode.expected-loss/1") {
                return {loss.found, {}};
            }
            return {{}, site.name + " does not say it: its version of Antipode is another"};
        } catch (const CommandError& error) {
            loss.problem = error.what();
            if (error.code() != ExitCode::Unreachable) {
                break;
            }
        }
    }
    return {{}, loss.problem};
}

std::string render(const ExpectedLoss& loss, const std::string& from) {
    if (loss.found.is_null()) {
        return "LOST IF RUN NOW: not known: " + harmless(loss.problem) + "\n";
    }
    const Json& found = loss.found;
    std::string text = "LOST IF RUN NOW\n  known:   " + count_of(found, "known_lost") +
                       " that did not come here, or could not be applied\n";
    for (const Json& one : found.value("losses", Json::array())) {
        text += "  " + render_one_loss(one);
    }
    return text + render_unknown(found, from) +
           "  here and not applied yet: " + count_of(found, "not_applied_yet") +
           "; a promotion applies what it can first\n" + "last marker of " + from + ": " +
           time_of(found, "last_marker_us") + ", newest event: " + time_of(found, "last_event_us") +
           "\n";
}

}  // namespace antipode::cli
