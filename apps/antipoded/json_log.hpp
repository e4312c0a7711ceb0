#pragma once

#include <memory>

#include <spdlog/formatter.h>

namespace antipode {

/// Writes each message as a JSON object on a line of its own: {"at":"2026-11-22T14:40:05.123Z",
/// "level":"warning","text":"..."}, whatever is in the text.
std::unique_ptr<spdlog::formatter> json_log();

}  // namespace antipode
