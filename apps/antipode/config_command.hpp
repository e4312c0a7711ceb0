#pragma once

#include <filesystem>
#include <string>

#include "apps/antipode/output.hpp"
#include "base/config.hpp"

namespace antipode::cli {

/// Throws CommandError{Failed} with the place of the mistake.
Config load_config(const std::filesystem::path& file);

/// `antipode config check`: what the file says, in one line.
ExitCode check_config(const std::filesystem::path& file, const Output& output);

/// `antipode config show`: everything in force, defaults included, as TOML (or JSON). Passwords in
/// connection strings are left out.
ExitCode show_config(const std::filesystem::path& file, const Output& output);

/// A libpq connection string, in either form, without its password.
std::string without_password(const std::string& url);

}  // namespace antipode::cli
