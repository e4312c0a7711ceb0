#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/end_to_end/site.hpp"
#include "tests/support/damage.hpp"

namespace antipode::test {

/// One way in which what is here can come to be wrong.
struct Damage {
    std::string store;  ///< "blobs/uploads"
    std::string item;
    std::function<void()> make;
    std::string named;  ///< a part of what is said of it
};

/// A repository with branches, a tag and large files.
void make_repository(const Site& site, const std::string& name);

/// Runs git in a repository past the hook that refuses what is not the daemon's, as a program that
/// runs no hooks.
void git_without_hooks(const std::filesystem::path& repository, std::vector<std::string> arguments);

/// Makes an item for each kind of damage to files and repositories, and one of each that stays
/// "untouched"; the damage itself is done to the secondary's mirror of it when it is called for.
std::vector<Damage> damage_of_every_kind(const Site& primary, const Site& secondary);

}  // namespace antipode::test
