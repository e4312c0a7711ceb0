#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.hpp"

namespace antipode::test {

/// How a user's git runs: with everybody's own configuration left out, and as Ada.
Process::Options git_environment();

/// git, as a user runs it. Throws when it fails; returns stdout without the last newline.
std::string git(const std::vector<std::string>& arguments, const std::string& input = {});

/// What git says of a repository that is damaged; empty: it is sound. git fsck takes for damage
/// what is packed anew or pushed while it looks, so it looks again: damage stays. And it does not
/// follow refs that are moved meanwhile: git rev-list does.
std::string damage_of(const std::filesystem::path& repository);

}  // namespace antipode::test
