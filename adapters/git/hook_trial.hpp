#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

/// Whether the reference-transaction hooks of a store that is fenced refuse, by trying.
namespace antipode::git {

/// Of a store with more repositories not all can be tried: so many, drawn anew each time, at most
/// for so long. A try is a git and a hook that run for some milliseconds.
inline constexpr size_t most_hook_trials = 16;
inline constexpr std::chrono::milliseconds longest_hook_trials{1000};

struct HookTrial {
    std::string repository;  ///< below the root
    bool has_hook = false;   ///< ours is there, and git would call it
    bool refused = false;
    std::string why_not{};  ///< for people
};

/// Up to `most` repositories below a root, from all over it; fewer once the time is up.
std::vector<std::string> some_repositories(const std::filesystem::path& root,
                                           size_t most = most_hook_trials,
                                           std::chrono::milliseconds time = longest_hook_trials);

/// Has git prepare a change of a ref in each, as a push does, without what the daemon's own calls
/// of git are let through by: core.hooksPath is as the repository and the machine have it. The
/// change is never made: it says only that a ref is not there, and is taken back once it has been
/// prepared. A file system that is read-only counts as refused. git runs as the repository's owner,
/// as hooks do; where the daemon cannot act as that user, or that is root, or git fails for another
/// reason, it only looks. Throws Error: Stop when there is no git, Retry when one takes too long.
std::vector<HookTrial> try_hooks(const std::filesystem::path& root);

/// Without the try, for a store that is not fenced: refused where a hook of ours is called.
std::vector<HookTrial> look_at_hooks(const std::filesystem::path& root);

}  // namespace antipode::git
