#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace antipode {

/// "500ms", "2s", "10m", "12h", "7d"; nullopt for anything else.
std::optional<std::chrono::milliseconds> parse_duration(const std::string& text);

}  // namespace antipode
