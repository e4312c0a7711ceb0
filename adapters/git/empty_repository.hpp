#pragma once

#include <filesystem>
#include <string>

namespace antipode::git {

/// Makes what `git init --bare` makes without a template (gitrepository-layout(5)), synced, but for
/// the name of `place` itself. Throws Error{Retry}.
void make_empty_repository(const std::filesystem::path& place, const std::string& object_format);

}  // namespace antipode::git
