#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "apps/antipode/sites.hpp"

/// `antipode sites add`, `sites remove`: change this machine's configuration, and nothing else in
/// it: comments, order and spaces stay. What it would be is read as the daemon reads it before the
/// file is replaced, at once and whole.
namespace antipode::cli {

struct EditSitesOptions {
    Config::Site site{};  ///< to be added
    std::string name;     ///< to be removed
    bool yes = false;
    std::string confirmed;  ///< the name, typed in advance
    bool dry_run = false;   ///< only print what the file would be
    std::function<std::string()> read_line = {};
};

/// A configuration's text with one more `[[sites]]`, behind the last one.
std::string with_site(const std::string& text, const Config::Site& site);
/// The text without the `[[sites]]` of that name. Throws CommandError{Failed} when it is not
/// written as a table of its own.
std::string without_site(const std::string& text, const std::string& name);

/// Throws CommandError: Conflict when there is a site of that name, Usage when it cannot be one,
/// Denied when this user may not write the file.
ExitCode add_site(const std::filesystem::path& file, const OpenBucket& open, const Output& output,
                  const EditSitesOptions& options);
/// Throws CommandError: Conflict when it is the primary, Usage when it is this site or nobody,
/// Unreachable when nobody says who the primary is.
ExitCode remove_site(const std::filesystem::path& file, const OpenBucket& open,
                     const Output& output, const EditSitesOptions& options);

}  // namespace antipode::cli
