#pragma once

#include <chrono>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/ids.hpp"

/// Shared pieces of /v1/status, whose contract docs/METRICS.md states.
namespace antipode {

/// A row of "stores" in which nothing is known yet.
inline nlohmann::json empty_store(const StoreId& store) {
    nlohmann::json row = {
        {"store", store.to_string()}, {"state", "unknown"}, {"reason", ""}, {"next_step", ""}};
    for (const char* key : {"capture_lag_seconds",
                            "delivery_lag_seconds",
                            "apply_lag_seconds",
                            "total_lag_seconds",
                            "catches_up_seconds",
                            "apply_rate",
                            "lag_percentiles",
                            "backlog_events",
                            "backlog_bytes",
                            "captured_through_us",
                            "position",
                            "safe_position",
                            "lsn",
                            "applied",
                            "verified",
                            "mismatches",
                            "parked",
                            "waiting",
                            "copy",
                            "slot",
                            "server_version"}) {
        row[key] = nullptr;
    }
    return row;
}

/// On one line; bytes that are no UTF-8 are replaced.
inline std::string dump(const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Unknown is null.
template <typename Value>
nlohmann::json or_null(const std::optional<Value>& value) {
    return value ? nlohmann::json(*value) : nlohmann::json();
}

inline double seconds_between(TimePoint from, TimePoint to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace antipode
