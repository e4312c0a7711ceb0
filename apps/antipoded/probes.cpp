#include "apps/antipoded/probes.hpp"

#include <nlohmann/json.hpp>

#include "base/duration.hpp"

namespace antipode {
namespace {

http::HttpResponse answer(bool good, const std::string& text) {
    return {.status = good ? 200U : 503U, .content_type = "text/plain", .body = text + "\n"};
}

std::string role_of(const nlohmann::json& status) {
    return status["role"].get<std::string>();
}

}  // namespace

http::HttpResponse ready_probe(const nlohmann::json& status) {
    std::string problems;
    for (const auto& worker : status["workers"]) {
        if (!worker["healthy"].get<bool>()) {
            problems += "\n" + worker["name"].get<std::string>() + ": " +
                        worker["problem"].get<std::string>();
        }
    }
    const std::string role = role_of(status);
    const bool good = problems.empty() && (role == "primary" || role == "secondary");
    return answer(good, good ? "ready" : "not ready" + problems);
}

http::HttpResponse primary_probe(const nlohmann::json& status) {
    const std::string role = role_of(status);
    const bool good = role == "primary" && status["failover"]["state"] == "serving";
    const auto lease = status.find("lease");
    if (good && lease != status.end() && lease->is_object() && (*lease)["holds"] == false) {
        return answer(false, "the primary, without a lease: it takes no writes");
    }
    return answer(good, good ? "primary" : "not the serving primary: " + role);
}

http::HttpResponse secondary_probe(const nlohmann::json& status,
                                   const std::map<std::string, std::string>& query) {
    const auto asked = query.find("lag");
    const auto most = asked == query.end() ? std::nullopt : parse_duration(asked->second);
    if (asked != query.end() && !most) {
        return http::error_response(400, "lag is no duration", "/secondary?lag=30s");
    }
    if (role_of(status) != "secondary") {
        return answer(false, "no secondary: " + role_of(status));
    }
    if (!status["recovery_point_us"].is_number_integer()) {
        return answer(false, "its recovery point is unknown");
    }
    const std::chrono::microseconds lag(status["now_us"].get<int64_t>() -
                                        status["recovery_point_us"].get<int64_t>());
    const bool good = !most || lag <= *most;
    return answer(good, std::to_string(lag.count() / 1'000'000) + " s behind");
}

}  // namespace antipode
