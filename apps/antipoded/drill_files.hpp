#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/config.hpp"

/// The results of this site's drills, in its state directory: an object "antipode.drill/1" each.
/// Any thread.
namespace antipode {

/// Durable when it returns; the oldest of more than 20 are deleted. Throws Error{Retry}.
void keep_drill(const Config& config, const nlohmann::json& drill);
/// Oldest first. What cannot be read is left out.
std::vector<nlohmann::json> kept_drills(const Config& config);
/// Those that a daemon had begun and nobody will end.
void end_stopped_drills(const Config& config);
/// Of the newest, for status; null: there was none.
nlohmann::json newest_drill(const Config& config);

}  // namespace antipode
