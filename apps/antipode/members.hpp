#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

/// Members of what daemons answer, of whatever version. Any thread.
namespace antipode::cli {

/// Empty: there is none, or no text.
inline std::string text_at(const nlohmann::ordered_json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// nullopt: there is none, or no number.
inline std::optional<double> number_at(const nlohmann::ordered_json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? std::optional(found->get<double>())
                                                     : std::nullopt;
}

}  // namespace antipode::cli
