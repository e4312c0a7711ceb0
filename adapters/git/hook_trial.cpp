#include "adapters/git/hook_trial.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>
#include <stop_token>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/discovery.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/hooks.hpp"
#include "adapters/git/program.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/worker.hpp"

namespace antipode::git {
namespace {

using std::chrono::steady_clock;

/// What antipode-git-hook begins with.
constexpr const char* words_of_ours = "antipode: ";
/// What git says of a hook that refused, up to 2.50 and since.
constexpr std::array words_of_any_hook = {"aborted by hook",
                                          "aborted by the reference-transaction hook"};
/// Nobody can write there, whatever hooks say.
constexpr std::array words_of_read_only = {"Read-only file system", "Permission denied"};
constexpr const char* no_hook = "git calls no hook of Antipode's";
/// For all of them; a hook that was there before ours may do anything.
constexpr std::chrono::seconds longest_wait(5);

Presence presence_at(const std::filesystem::path& path) {
    const Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    return directory.valid() ? presence_of(directory.get()) : Presence::Absent;
}

/// Names of directories; nothing of one that cannot be read, where the capture says so.
std::vector<std::string> directories_in(const std::filesystem::path& root,
                                        const std::string& name) {
    std::vector<std::string> names;
    std::error_code error;
    const auto end = std::filesystem::directory_iterator();
    for (auto entry = std::filesystem::directory_iterator(root / name, error);
         !error && entry != end; entry.increment(error)) {
        const std::string path =
            (name.empty() ? "" : name + "/") + entry->path().filename().native();
        std::error_code ignored;
        if (entry->symlink_status(ignored).type() == std::filesystem::file_type::directory &&
            !is_left_out(path)) {
            names.push_back(path);
        }
    }
    return names;
}

/// Hooks are the service's code, and run with the rights of whoever calls git: that must be the
/// repository's owner, never a daemon with more, and never root. nullopt: this process cannot act
/// as that user.
std::optional<std::vector<std::string>> as_owner(const std::filesystem::path& git_dir) {
    struct stat info {};
    if (stat(git_dir.c_str(), &info) != 0) {
        return std::nullopt;
    }
    if (geteuid() != 0) {
        return info.st_uid == geteuid() ? std::optional(std::vector<std::string>()) : std::nullopt;
    }
    if (info.st_uid == 0) {
        return std::nullopt;
    }
    return std::vector<std::string>{"/usr/bin/setpriv",
                                    "--reuid=" + std::to_string(info.st_uid),
                                    "--regid=" + std::to_string(info.st_gid),
                                    "--clear-groups",
                                    "--no-new-privs",
                                    "--"};
}

/// Directly below refs/, so that no directory is made for its lock; by a name that nobody has
/// taken.
std::string make_transaction() {
    const std::string name = "refs/antipode-fence-check-" + std::to_string(std::random_device{}());
    return "start\nverify " + name + "\nprepare\nabort\n";
}

bool says(const Outcome& outcome, const char* words) {
    return outcome.error.find(words) != std::string::npos;
}

template <size_t Count>
bool says_any(const Outcome& outcome, const std::array<const char*, Count>& all) {
    return std::any_of(all.begin(), all.end(),
                       [&](const char* words) { return says(outcome, words); });
}

Command trial_in(const Program& program, const std::filesystem::path& git_dir,
                 std::vector<std::string> as_owner, std::string_view transaction) {
    const char* const path = std::getenv("PATH");
    Command command;
    command.arguments = std::move(as_owner);
    command.arguments.insert(command.arguments.end(), {program.executable(), "-C", git_dir.string(),
                                                       "update-ref", "--stdin"});
    command.environment = {std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path),
                           "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C",
                           "GIT_TERMINAL_PROMPT=0",
                           // Found there, not named: then git makes sure that it is its user's own.
                           "GIT_CEILING_DIRECTORIES=" + git_dir.parent_path().string()};
    command.input = transaction;
    return command;
}

Outcome outcome_of(const Command& command, const std::filesystem::path& git_dir,
                   const std::stop_token& late) {
    try {
        return run(command, late);
    } catch (const Stopped&) {
        throw Error(Reaction::Retry,
                    "git takes long to change a ref in " + printable(git_dir.native()),
                    "look for a hook that hangs there");
    }
}

void run_trial(const Program& program, const std::filesystem::path& root,
               const std::stop_token& late, HookTrial& trial) {
    const std::filesystem::path git_dir = root / trial.repository;
    const auto owner = as_owner(git_dir);
    if (!owner) {
        return;  // as it was looked at
    }
    const std::string transaction = make_transaction();
    const Outcome outcome =
        outcome_of(trial_in(program, git_dir, *owner, transaction), git_dir, late);
    const bool by_ours = says(outcome, words_of_ours);
    const bool by_a_hook = says_any(outcome, words_of_any_hook);
    const bool is_read_only = says_any(outcome, words_of_read_only);
    if (!outcome.ok() && !by_ours && !by_a_hook && !is_read_only) {
        return;  // it says nothing of the hook: a repository that is damaged, no setpriv
    }
    trial.refused = !outcome.ok() && (by_ours || is_read_only);
    if (!trial.refused) {
        trial.why_not = by_a_hook         ? "another hook answers in the place of Antipode's"
                        : !trial.has_hook ? no_hook
                                          : "Antipode's hook does not refuse";
    }
}

}  // namespace

std::vector<std::string> some_repositories(const std::filesystem::path& root, size_t most,
                                           std::chrono::milliseconds time) {
    const auto end = steady_clock::now() + time;
    std::mt19937 random(std::random_device{}());
    std::vector<std::string> found;
    std::vector<std::string> places = directories_in(root, "");
    while (!places.empty() && found.size() < most && steady_clock::now() < end) {
        std::swap(places[random() % places.size()], places.back());
        const std::string name = std::move(places.back());
        places.pop_back();
        switch (presence_at(root / name)) {
            case Presence::Repository:
                found.push_back(name);
                break;
            case Presence::Foreign:
                for (std::string& inner : directories_in(root, name)) {
                    places.push_back(std::move(inner));
                }
                break;
            case Presence::Absent:
            case Presence::Damaged:  // nobody pushes to it
                break;
        }
    }
    return found;
}

std::vector<HookTrial> look_at_hooks(const std::filesystem::path& root) {
    std::vector<HookTrial> trials;
    for (const std::string& repository : some_repositories(root)) {
        const bool has = has_hook(root / repository);
        trials.push_back({repository, has, has, no_hook});
    }
    return trials;
}

std::vector<HookTrial> try_hooks(const std::filesystem::path& root) {
    const auto end = steady_clock::now() + longest_hook_trials;
    std::vector<HookTrial> trials = look_at_hooks(root);
    if (trials.empty()) {
        return trials;
    }
    const Program program;
    std::stop_source late;
    const std::jthread watch([&](const std::stop_token& over) {
        if (!sleep_unless_stopped(longest_wait, over)) {
            late.request_stop();
        }
    });
    size_t tried = 0;
    for (HookTrial& trial : trials) {
        if (tried > 0 && steady_clock::now() > end) {
            break;
        }
        run_trial(program, root, late.get_token(), trial);
        ++tried;
    }
    trials.resize(tried);
    return trials;
}

}  // namespace antipode::git
