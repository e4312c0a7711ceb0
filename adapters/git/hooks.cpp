#include "adapters/git/hooks.hpp"

#include <cerrno>
#include <mutex>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/discovery.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/libgit2.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

// apps/git-hook reads the settings and calls the chained hook under these names.
constexpr const char* hook_name = "reference-transaction";
constexpr const char* mirror_hook_name = "pre-receive";
constexpr const char* settings_name = "antipode-hook";
constexpr const char* chained_directory = "antipode-chained";
constexpr std::string_view program_name = "antipode-git-hook";
constexpr size_t settings_bytes = 64 * 1024;

/// Two threads may find the same hook outdated: the second must not take ours for another's.
std::mutex installing;

struct Places {
    explicit Places(const std::filesystem::path& git_dir, const char* name = hook_name)
        : hooks(git_dir / "hooks"),
          hook(hooks / name),
          settings(hooks / settings_name),
          chained(hooks / chained_directory / name) {}

    std::filesystem::path hooks;
    std::filesystem::path hook;
    std::filesystem::path settings;
    std::filesystem::path chained;
};

bool is_there(const std::filesystem::path& path) {
    struct stat info {};
    return lstat(path.c_str(), &info) == 0;
}

/// Where a symbolic link points; empty when it is none.
std::filesystem::path link_target(const std::filesystem::path& path) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(path, error);
    return error ? std::filesystem::path() : target;
}

bool is_ours(const std::filesystem::path& hook) {
    return link_target(hook).filename() == program_name;
}

std::string settings_text(const HookSettings& settings) {
    const std::string spool = settings.spool.string();
    if (spool.find('\n') != std::string::npos) {
        throw Error(Reaction::Stop, "a spool's path cannot hold a newline: " + printable(spool));
    }
    return "# Written by antipode hooks install, read by antipode-git-hook.\nspool " + spool + "\n";
}

/// core.hooksPath in the repository's own or the machine's configuration switches hooks/ off.
std::string hooks_path(const std::filesystem::path& git_dir) {
    const std::string own = config_value(git_dir / "config", "core.hookspath");
    return own.empty() ? config_value("/etc/gitconfig", "core.hookspath") : own;
}

bool is_bypassed(const std::filesystem::path& git_dir) {
    const std::filesystem::path path = hooks_path(git_dir);
    std::error_code error;
    return !path.empty() && !std::filesystem::equivalent(git_dir / path, git_dir / "hooks", error);
}

/// Puts a link to our program in the hook's place in one step.
void link_hook(const std::filesystem::path& hook, const std::filesystem::path& program) {
    const std::filesystem::path made = hook.string() + ".antipode-new";
    unlink(made.c_str());
    if (symlink(program.c_str(), made.c_str()) != 0) {
        throw_errno("making", made);
    }
    rename_path(made, hook);
}

/// A second name for the hook that is there, in a directory of its own under its own file name:
/// some hooks look at what they are called. A relative link gets one more "..".
void keep_chained(const Places& places) {
    make_directories_durably(places.hooks, chained_directory);
    std::filesystem::path free = places.chained;
    for (int i = 1; is_there(free); ++i) {
        free = places.chained.string() + ".saved-" + std::to_string(i);
    }
    if (free != places.chained) {
        // Somebody put a new hook over ours: it counts, the older one is kept aside.
        rename_path(places.chained, free);
    }
    const std::filesystem::path target = link_target(places.hook);
    const int failed = target.empty()
                           ? link(places.hook.c_str(), places.chained.c_str())
                           : symlink((target.is_relative() ? ".." / target : target).c_str(),
                                     places.chained.c_str());
    if (failed != 0) {
        throw_errno("keeping the hook " + printable(places.hook.native()) + " as", places.chained);
    }
    sync_path(places.chained.parent_path());
}

void install_at(const Places& places, const HookSettings& settings) {
    const std::string text = settings_text(settings);
    if (!is_there(places.settings) || read_small_file(places.settings, settings_bytes) != text) {
        write_file_durably(places.settings, text, 0644);
    }
    if (is_there(places.hook) && !is_ours(places.hook)) {
        keep_chained(places);
    }
    if (link_target(places.hook) != settings.program) {
        link_hook(places.hook, settings.program);
        sync_path(places.hooks);
    }
}

/// The hook that was there before ours.
void put_back(const Places& places) {
    const std::filesystem::path target = link_target(places.chained);
    if (!target.empty() && target.is_relative()) {
        const std::filesystem::path made = places.hook.string() + ".antipode-new";
        unlink(made.c_str());
        if (symlink(target.lexically_relative("..").c_str(), made.c_str()) != 0) {
            throw_errno("making", made);
        }
        rename_path(made, places.hook);
        unlink(places.chained.c_str());
    } else if (is_there(places.chained)) {
        rename_path(places.chained, places.hook);
    } else if (unlink(places.hook.c_str()) != 0) {
        throw_errno("removing", places.hook);
    }
}

/// Throws Error{Stop} when git would look elsewhere.
void make_hooks_directory(const std::filesystem::path& git_dir) {
    if (is_bypassed(git_dir)) {
        throw Error(Reaction::Stop,
                    "repository " + printable(git_dir.native()) +
                        ": core.hooksPath is set, git would not call our hook",
                    "unset core.hooksPath, or rely on the reconcile for this repository");
    }
    if (mkdir((git_dir / "hooks").c_str(), 0755) == 0) {
        sync_path(git_dir);
    } else if (errno != EEXIST) {
        throw_errno("making", git_dir / "hooks");
    }
}

HookReport handle(const std::filesystem::path& git_dir, const HookSettings& settings,
                  HookAction action) {
    HookReport report;
    try {
        switch (action) {
            case HookAction::Show:
                break;
            case HookAction::Install:
                install_hook(git_dir, settings);
                break;
            case HookAction::Guard:
                guard_mirror(git_dir, settings);
                break;
            case HookAction::Remove:
                remove_hook(git_dir);
                break;
        }
    } catch (const Error& error) {
        report.problem = error.describe();
    }
    report.status = hook_status(git_dir, settings);
    report.chained = is_there(Places(git_dir).chained);
    return report;
}

}  // namespace

std::string_view to_string(HookStatus status) {
    switch (status) {
        case HookStatus::Absent:
            return "absent";
        case HookStatus::Installed:
            return "installed";
        case HookStatus::Outdated:
            return "outdated";
        case HookStatus::Bypassed:
            return "bypassed by core.hooksPath";
    }
    return "?";
}

bool has_hook(const std::filesystem::path& git_dir) {
    const Places places(git_dir);
    return is_ours(places.hook) && access(places.hook.c_str(), X_OK) == 0 && !is_bypassed(git_dir);
}

HookStatus hook_status(const std::filesystem::path& git_dir, const HookSettings& settings) {
    const Places places(git_dir);
    if (is_bypassed(git_dir)) {
        return HookStatus::Bypassed;
    }
    if (!is_ours(places.hook)) {
        return HookStatus::Absent;
    }
    const bool current =
        link_target(places.hook) == settings.program &&
        access(settings.program.c_str(), X_OK) == 0 && is_there(places.settings) &&
        read_small_file(places.settings, settings_bytes) == settings_text(settings);
    return current ? HookStatus::Installed : HookStatus::Outdated;
}

void install_hook(const std::filesystem::path& git_dir, const HookSettings& settings) {
    const std::scoped_lock lock(installing);
    make_hooks_directory(git_dir);
    install_at(Places(git_dir), settings);
    const Places early(git_dir, mirror_hook_name);
    if (is_ours(early.hook)) {
        put_back(early);
        sync_path(early.hooks);
    }
}

void guard_mirror(const std::filesystem::path& git_dir, const HookSettings& settings) {
    const Places places(git_dir);
    const Places early(git_dir, mirror_hook_name);
    if (link_target(places.hook) != settings.program ||
        link_target(early.hook) != settings.program || !is_there(places.settings) ||
        read_small_file(places.settings, settings_bytes) != settings_text(settings)) {
        const std::scoped_lock lock(installing);
        make_hooks_directory(git_dir);
        install_at(places, settings);
        install_at(early, settings);
    }
}

void remove_hook(const std::filesystem::path& git_dir) {
    const Places places(git_dir);
    const Places early(git_dir, mirror_hook_name);
    if (!is_ours(places.hook) && !is_ours(early.hook)) {
        return;
    }
    for (const Places& each : {places, early}) {
        if (is_ours(each.hook)) {
            put_back(each);
        }
    }
    unlink(places.settings.c_str());
    rmdir(places.chained.parent_path().c_str());  // stays when older hooks are kept in it
    sync_path(places.hooks);
}

std::vector<HookReport> for_all_hooks(const std::filesystem::path& root,
                                      const HookSettings& settings, HookAction action,
                                      const std::stop_token& stop) {
    std::vector<HookReport> reports;
    Discovery discovery = discover_repositories(root, stop);
    for (const std::string& name : discovery.found) {
        reports.push_back(handle(root / name, settings, action));
        reports.back().repository = name;
    }
    for (const std::string& name : discovery.unreadable) {
        reports.push_back({name, HookStatus::Absent, false, "this directory cannot be read"});
    }
    return reports;
}

void install_template(const std::filesystem::path& template_directory,
                      const HookSettings& settings) {
    std::error_code error;
    std::filesystem::create_directories(template_directory / "hooks", error);
    install_at(Places(template_directory), settings);
}

}  // namespace antipode::git
