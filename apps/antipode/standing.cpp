#include "apps/antipode/standing.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {

using Json = nlohmann::ordered_json;
using failover::State;

Standing standing_of(const Config& config, const Fetch& fetch, const Config::Site& site) {
    Standing standing;
    const Json status =
        Json::parse(get(fetch, daemon_of(config, site), "/v1/status"), nullptr, false);
    if (!status.is_object() || !status.contains("failover")) {
        return standing;
    }
    const Json& change = status["failover"];
    standing.state = failover::parse_state(
        change["state"].is_string() ? change["state"].get<std::string>() : "");
    standing.epoch = change.value("epoch", uint64_t{0});
    standing.operation = change.value("operation", "");
    standing.problem = change.value("problem", "");
    standing.next_step = change.value("next_step", "");
    standing.unreadable = change.value("unreadable", "");
    return standing;
}

bool comes_back(State state) {
    return state == State::Fenced || state == State::Quarantining || state == State::Quarantined ||
           state == State::Rewinding;
}

namespace {

std::string described(const Standing& seen) {
    std::string text(seen.state ? failover::to_string(*seen.state) : unknown);
    if (!seen.problem.empty()) {
        text += " (" + harmless(seen.problem) + ")";
        text += seen.next_step.empty() ? "" : "\n  Try: " + harmless(seen.next_step);
    }
    return text;
}

}  // namespace

void ProgressWatch::look(const std::vector<std::string>& sites) {
    for (const std::string& site : sites) {
        std::string now = "antipoded does not answer";
        seen_.erase(site);
        try {
            const Standing seen = standing_of(config_, fetch_, *config_.find_site(site));
            now = described(seen);
            seen_[site] = seen;
        } catch (const CommandError&) {
            // It may be restarted.
        }
        if (std::exchange(said_[site], now) != now && !output_.json()) {
            output_.out << harmless(site) << ": " << now << "\n";
            output_.out.flush();
        }
    }
}

const Standing* ProgressWatch::at(const std::string& site) const {
    const auto found = seen_.find(site);
    return found == seen_.end() ? nullptr : &found->second;
}

}  // namespace antipode::cli
