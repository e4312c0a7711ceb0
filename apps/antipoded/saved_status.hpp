#pragma once

#include <filesystem>

#include <nlohmann/json_fwd.hpp>

namespace antipode {

/// Writes a status to state_dir/status.json, for `antipode status` while no daemon runs: whole or
/// not at all, but not synced. Throws Error{Retry} when it cannot.
void save_status(const std::filesystem::path& state_dir, const nlohmann::json& status);

}  // namespace antipode
