#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace antipode {

/// What Prometheus reads: the same facts as /v1/status, in base units, with timestamps rather than
/// ages; what is unknown is absent. Names are an interface: docs/METRICS.md lists them, a test
/// holds them.
std::string render_metrics(const nlohmann::json& status);

}  // namespace antipode
