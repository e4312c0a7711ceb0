#pragma once

#include <map>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/server.hpp"

/// What load balancers and service managers ask a daemon, answered from a status: 200, or 503 with
/// the reason as text.
namespace antipode {

/// The role is known and every worker is healthy.
http::HttpResponse ready_probe(const nlohmann::json& status);

/// This site is the primary, and takes writes.
http::HttpResponse primary_probe(const nlohmann::json& status);

/// This site is a secondary, its recovery point is known, and it is no further behind than "lag"
/// ("30s") in the query; 400: that is no duration.
http::HttpResponse secondary_probe(const nlohmann::json& status,
                                   const std::map<std::string, std::string>& query);

}  // namespace antipode
