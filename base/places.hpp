#pragma once

#include <filesystem>
#include <string_view>

#include "base/config.hpp"

/// Where the programs and files of one installation find each other.
namespace antipode {

/// The program that git runs as a repository's hook: beside the running program when both are
/// installed, in the same build tree otherwise. Throws Error{Stop} when it is at neither place.
std::filesystem::path hook_program();

/// The file in which the hooks of a repositories store note what changed. Daemon and hooks share
/// it, so its directory lets other users pass through to it.
std::filesystem::path hook_spool(const Config& config, std::string_view store_name);

/// While this file is there, hooks refuse every change of that store's repositories with its text.
std::filesystem::path hook_fence(const Config& config, std::string_view store_name);

/// What the daemon's status was lately: what can be said while it is down.
std::filesystem::path saved_status(const std::filesystem::path& state_dir);

}  // namespace antipode
