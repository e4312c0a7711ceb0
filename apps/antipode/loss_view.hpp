#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace antipode::cli {

/// A loss report ("antipode.loss-report/1") for people.
std::string render_loss(const nlohmann::ordered_json& report);

}  // namespace antipode::cli
