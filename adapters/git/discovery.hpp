#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "base/seams/repositories.hpp"

namespace antipode::git {

/// Below a root: what Antipode itself keeps there.
inline constexpr std::string_view own_directory = ".antipode";

/// Repositories::discover().
Discovery discover_repositories(const std::filesystem::path& root, const std::stop_token& stop);

/// Repositories::presence(), for one directory that is open.
Presence presence_of(int directory);

}  // namespace antipode::git
