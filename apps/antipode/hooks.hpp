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
/// also when one lacks the hook.
ExitCode run_hooks(const Config& config, const Output& output, HooksAction action,
                   const std::optional<std::string>& path);

/// doctor's look at the hooks: names the repositories whose pushes only a reconcile would find.
Check hooks_check();

}  // namespace antipode::cli
