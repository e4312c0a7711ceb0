#pragma once

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/client.hpp"
#include "secondary/pulls.hpp"

namespace antipode {

/// `pulls` of /v1/status: what is still missing, what is being pulled, what came so far.
nlohmann::json show_pulls(const secondary::Pulls& pulls,
                          const http::HttpBulkSource::Traffic& traffic);

}  // namespace antipode
