#pragma once

#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/antipode/change_primary.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "tests/support/memory_bucket.hpp"

namespace antipode::cli::test {

using antipode::test::MemoryBucket;
using Json = nlohmann::ordered_json;

/// Two sites whose daemons say what the test wants, and never act.
struct Cluster {
    Config config;
    ManualClock clock;
    std::map<std::string, MemoryBucket::Server> servers;
    std::map<std::string, Json> statuses;
    std::map<std::string, Json> losses;  ///< that a promotion of the site would have
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};
    ChangeOptions options;
    OpenBucket open = [this](const Config::Site& site, bool) {
        return std::make_unique<MemoryBucket>(servers[site.name]);
    };
    Fetch fetch = [this](const std::string& url, std::chrono::milliseconds) -> Answer {
        const std::string site = url.find(":8840") != std::string::npos  ? "london"
                                 : url.find("//c:") != std::string::npos ? "tokyo"
                                                                         : "sydney";
        if (statuses[site].is_null()) {
            throw Error(Reaction::Retry, "connection refused");
        }
        if (url.ends_with("/v1/expected-loss")) {
            return losses[site].is_null() ? Answer{404, "{}"} : Answer{200, losses[site].dump()};
        }
        return {200, statuses[site].dump()};
    };

    Cluster() {
        config.cluster = "demo";
        config.site = "london";
        config.sites = {{"london", "nats://a:1", "http://a:8840"},
                        {"sydney", "nats://b:1", "http://b:2"}};
        for (const char* site : {"london", "sydney"}) {
            MemoryBucket bucket(servers[site]);
            failover::create_epoch(bucket, "demo", "london", "cli", clock.now());
        }
        statuses["london"] = status("london", "primary", "serving", "serving");
        statuses["sydney"] = status("sydney", "secondary", "streaming", "following");
        options.to = "sydney";
        options.pause = [this] { clock.advance(std::chrono::seconds(60)); };
    }
    Json status(const std::string& site, const char* role, const char* state, const char* change) {
        return {{"schema", "antipode.status/1"},
                {"site", site},
                {"role", role},
                {"now_us", to_microseconds(clock.now())},
                {"sites",
                 {{{"site", site},
                   {"state", state},
                   {"reason", ""},
                   {"recovery_point_us", to_microseconds(clock.now())},
                   {"lag_seconds", 0.5},
                   {"parked", 0}}}},
                {"failover",
                 {{"state", change},
                  {"primary", "london"},
                  {"epoch", 1},
                  {"operation", ""},
                  {"problem", ""},
                  {"ddl_captured", true},
                  {"blockers", Json::array()},
                  {"warnings", Json::array()}}}};
    }
    Preflight look(PreflightMode mode = PreflightMode::Switchover) {
        return look_before(config, fetch, "sydney", mode);
    }
    std::string blocker(PreflightMode mode = PreflightMode::Switchover) {
        const Preflight found = look(mode);
        return found.clear() ? "" : found.blockers.front().what;
    }
    v1::EpochRecord record(const std::string& site) {
        MemoryBucket bucket(servers[site]);
        return failover::read_epoch(bucket, "demo")->record;
    }
    ExitCode code_of(const std::function<ExitCode()>& command) {
        try {
            return command();
        } catch (const CommandError& thrown) {
            error << thrown.what() << " Try: " << thrown.next_step();
            return thrown.code();
        }
    }
    ExitCode plan() {
        return code_of([&] { return switchover(config, open, fetch, clock, output, options); });
    }
    ExitCode claim() {
        return code_of([&] { return promote(config, open, fetch, clock, output, options); });
    }
};

}  // namespace antipode::cli::test
