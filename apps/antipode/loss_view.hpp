#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace antipode::cli {

/// An empty object when it is no JSON.
nlohmann::ordered_json report_of(const std::string& text);

/// A loss report ("antipode.loss-report/1") for people.
std::string render_loss(const nlohmann::ordered_json& report);
/// Without the losses one by one.
std::string render_loss_head(const nlohmann::ordered_json& report);
/// What a promotion did to sequences, and which ones it left.
std::string render_sequences(const nlohmann::ordered_json& report);
/// One of its "losses".
std::string render_one_loss(const nlohmann::ordered_json& loss);

}  // namespace antipode::cli
