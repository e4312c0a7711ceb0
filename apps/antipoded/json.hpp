#pragma once

#include <chrono>

#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/ids.hpp"

/// Shared pieces of /v1/status, whose contract docs/METRICS.md states.
namespace antipode {

/// A row of "stores" in which nothing is known yet.
inline nlohmann::json empty_store(const StoreId& store) {
    nlohmann::json row = {
        {"store", store.to_string()}, {"state", "unknown"}, {"reason", ""}, {"next_step", ""}};
    for (const char* key :
         {"capture_lag_seconds", "delivery_lag_seconds", "apply_lag_seconds", "total_lag_seconds",
          "backlog_events", "backlog_bytes", "captured_through_us", "position", "safe_position",
          "lsn", "applied", "verified", "mismatches", "parked", "waiting", "copy"}) {
        row[key] = nullptr;
    }
    return row;
}

inline double seconds_between(TimePoint from, TimePoint to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace antipode
