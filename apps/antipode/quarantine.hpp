#pragma once

#include <filesystem>
#include <string>

#include "apps/antipode/change_primary.hpp"

/// `antipode quarantine`: what this site had as the primary and the new one never got, in its state
/// directory.
namespace antipode::cli {

ExitCode list_quarantines(const Config& config, const Output& output);
/// What is in one of them. `operation` empty: the only one.
ExitCode show_quarantine(const Config& config, const Output& output, const std::string& operation);

/// Copies one into `directory`, which is not there or empty; durable when it returns. Throws
/// CommandError: Usage (the directory), Unknown (half made), Failed (a disk; what is there is no
/// export then: manifest.json comes last).
ExitCode export_quarantine(const Config& config, const Output& output,
                           const std::filesystem::path& directory, const std::string& operation);

/// Deletes one for good. Of `options` what confirms counts. Throws CommandError: Blocked (this site
/// is on its way back), Usage (not confirmed), Unreachable (its daemon does not say where it
/// stands).
ExitCode drop_quarantine(const Config& config, const Fetch& fetch, const Output& output,
                         const std::string& operation, const ChangeOptions& options);

}  // namespace antipode::cli
