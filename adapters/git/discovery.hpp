#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/seams/repositories.hpp"

namespace antipode::git {

/// Below a root: what Antipode itself keeps there.
inline constexpr std::string_view own_directory = ".antipode";

/// Whether discovery passes by directories of this name, or of a path that leads through one.
bool is_left_out(std::string_view name);

/// Repositories::discover().
Discovery discover_repositories(const std::filesystem::path& root, const std::stop_token& stop);

/// Repositories::presence(), for one directory that is open.
Presence presence_of(int directory);

}  // namespace antipode::git
