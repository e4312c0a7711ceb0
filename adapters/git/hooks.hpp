#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

/// The reference-transaction hook of repositories: installed as a symbolic link to the program
/// antipode-git-hook, with its settings in a file beside it. A hook that was there is kept and
/// called by ours. All of this is idempotent, and at no moment is a repository without the hook
/// that it had.
namespace antipode::git {

struct HookSettings {
    std::filesystem::path program;  ///< antipode-git-hook, absolute
    std::filesystem::path spool;    ///< ChangeSpool's file, absolute
};

enum class HookStatus {
    Absent,
    Installed,
    Outdated,  ///< ours, for another program or spool
    Bypassed,  ///< installed or not, the repository's core.hooksPath points elsewhere
};
std::string_view to_string(HookStatus status);

HookStatus hook_status(const std::filesystem::path& git_dir, const HookSettings& settings);

/// Whether git would call a hook of ours, whichever program and spool it is for.
bool has_hook(const std::filesystem::path& git_dir);

/// For a repository of a primary; what guard_mirror() added is taken back. Throws Error{Retry};
/// Error{Stop} when core.hooksPath points elsewhere.
void install_hook(const std::filesystem::path& git_dir, const HookSettings& settings);

/// For a repository of a secondary: also as pre-receive hook, which refuses a push before its
/// objects are taken in, and whose words git hands to the client over every protocol. Costs
/// little where both are. Throws as install_hook() does.
void guard_mirror(const std::filesystem::path& git_dir, const HookSettings& settings);

/// Puts the hook that was there before back. Does nothing when ours is not there.
void remove_hook(const std::filesystem::path& git_dir);

/// For all repositories below a root: what was done or found, for each.
struct HookReport {
    std::string repository;
    HookStatus status = HookStatus::Absent;
    bool chained = false;  ///< there is another hook, which ours calls
    std::string problem;   ///< empty when all went well
};
enum class HookAction { Show, Install, Guard, Remove };
std::vector<HookReport> for_all_hooks(const std::filesystem::path& root,
                                      const HookSettings& settings, HookAction action,
                                      const std::stop_token& stop = {});

/// Makes our hook part of a git template directory (init.templateDir), so that new repositories
/// have it from the start.
void install_template(const std::filesystem::path& template_directory,
                      const HookSettings& settings);

}  // namespace antipode::git
