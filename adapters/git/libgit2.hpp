#pragma once

#include <filesystem>
#include <string>

namespace antipode::git {

/// Makes libgit2 ready, once per process: system and user configuration stay out; who owns a
/// repository is no reason not to read it. Call it before any other use of the library.
void initialize_libgit2();

/// The value of `key` ("core.bare") in one configuration file; empty when it is not there.
std::string config_value(const std::filesystem::path& file, const char* key);

}  // namespace antipode::git
