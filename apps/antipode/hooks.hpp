#pragma once

#include <optional>
#include <string>

#include "apps/antipode/doctor.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

namespace antipode::cli {

enum class HooksAction { Status, Install, Remove };

/// `antipode hooks`: for all repositories below the configured roots, or those at or below `path`
/// (which must be below one of them). Findings when a repository could not be served; for Status
/// also when one lacks the hook, unless this site is a secondary: nothing is pushed there.
ExitCode run_hooks(const Config& config, const OpenBucket& open, const Output& output,
                   HooksAction action, const std::optional<std::string>& path);

/// `antipode hooks install --template DIR`: makes the hook part of a git template directory
/// (init.templateDir), so that new repositories of one store have it from the start. `path` tells
/// the store when there are several.
ExitCode install_hook_template(const Config& config, const Output& output,
                               const std::filesystem::path& directory,
                               const std::optional<std::string>& path);

/// doctor's look at the hooks: names the repositories whose pushes only a reconcile would find. A
/// secondary needs none.
Check hooks_check(const OpenBucket& open);

}  // namespace antipode::cli
