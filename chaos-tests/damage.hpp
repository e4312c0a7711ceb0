#pragma once

#include <filesystem>
#include <string>

#include "tests/simulation/chance.hpp"
#include "tests/support/damage.hpp"

namespace antipode::chaos {

using test::flip;

/// By sha256sum; empty: it cannot be read.
std::string sum_of(const std::filesystem::path& file);

/// A pack of a repository, or a loose object.
std::filesystem::path any_objects(simulation::Chance& chance,
                                  const std::filesystem::path& repository);

/// git finds nothing wrong with it.
bool is_sound(const std::filesystem::path& repository);

}  // namespace antipode::chaos
