#include "apps/antipode/standing.hpp"

#include <nlohmann/json.hpp>

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

}  // namespace antipode::cli
