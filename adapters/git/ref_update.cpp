#include "adapters/git/ref_update.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include <fcntl.h>
#include <unistd.h>

#include "adapters/git/beside_refs.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/packed_refs.hpp"
#include "adapters/git/ref_reader.hpp"
#include "adapters/git/small_push.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr size_t bulk_changes = 64;

void append_field(std::string& input, const std::string& field) {
    input += field;
    input += '\0';
}

/// One line of git-update-ref(1)'s "-z" input. An old value is checked when it is an object id or
/// absence; git has no check for a symbolic one.
void append_command(std::string& input, const RefChange& change) {
    const std::string old_oid = to_hex(change.before.oid);
    if (change.after.absent()) {
        append_field(input, "delete " + change.name);
        append_field(input, old_oid);
    } else if (change.before.absent()) {
        append_field(input, "create " + change.name);
        append_field(input, to_hex(change.after.oid));
    } else {
        append_field(input, "update " + change.name);
        append_field(input, to_hex(change.after.oid));
        append_field(input, old_oid);
    }
}

/// Refs of one work tree: gitglossary(7).
bool is_never_packed(std::string_view name) {
    return name == "HEAD" || name.starts_with("refs/bisect/") ||
           name.starts_with("refs/worktree/") || name.starts_with("refs/rewritten/");
}

bool is_stale_value(const Outcome& outcome) {
    for (const char* text :
         {"but expected", "reference already exists", "unable to resolve reference"}) {
        if (outcome.error.find(text) != std::string::npos) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::vector<std::string> in_the_way(const std::vector<RefChange>& changes) {
    std::set<std::string> created;
    std::set<std::string> directories;  // that created refs need
    for (const RefChange& change : changes) {
        if (change.after.absent()) {
            continue;
        }
        created.insert(change.name);
        for (size_t slash = change.name.find('/'); slash != std::string::npos;
             slash = change.name.find('/', slash + 1)) {
            directories.insert(change.name.substr(0, slash));
        }
    }
    std::vector<std::string> names;
    for (const RefChange& change : changes) {
        bool conflicts = change.after.absent() && directories.contains(change.name);
        for (size_t slash = change.name.find('/');
             change.after.absent() && !conflicts && slash != std::string::npos;
             slash = change.name.find('/', slash + 1)) {
            conflicts = created.contains(change.name.substr(0, slash));
        }
        if (conflicts) {
            names.push_back(change.name);
        }
    }
    return names;
}

RefUpdater::RefUpdater(const Program& program, std::filesystem::path git_dir)
    : program_(program), git_dir_(std::move(git_dir)) {}

void RefUpdater::run(const std::vector<RefChange>& changes, const std::stop_token& stop) {
    std::vector<RefChange> refs;
    std::vector<RefChange> shallow;
    for (const RefChange& change : changes) {
        if (is_ref(change.name)) {
            refs.push_back(change);
        } else if (change.name == description_name) {
            change_description(git_dir_, change);
        } else if (change.name != pool_name) {
            shallow.push_back(change);
        }
    }
    if (!shallow.empty()) {
        change_shallow(git_dir_, shallow, oid_bytes(object_format(git_dir_)));
    }
    run_refs(refs, stop);
}

void RefUpdater::run_refs(const std::vector<RefChange>& changes, const std::stop_token& stop) {
    if (changes.empty()) {
        return;
    }
    const auto sets_head = [](const RefChange& change) {
        return change.name == "HEAD" && change.after.is_symbolic();
    };
    std::vector<RefChange> refs;
    std::remove_copy_if(changes.begin(), changes.end(), std::back_inserter(refs), sets_head);
    const bool may_make_directories =
        std::any_of(refs.begin(), refs.end(), [&](const auto& change) {
            // Also of what is there already: a try before may have failed between both.
            return change.before.absent();
        });
    const auto push = SmallPush::open(git_dir_);
    if (push != nullptr && push->move(refs)) {
        for (const RefChange& change : changes) {
            if (sets_head(change)) {
                set_symbolic(change, stop);
            }
        }
        // libgit2 has synced the directories of the refs, but not the names of new ones.
        if (may_make_directories || refs.size() < changes.size()) {
            sync_directories(changes);
        }
        return;
    }
    const std::vector<std::string> first = in_the_way(changes);
    std::vector<const RefChange*> freed;
    std::vector<const RefChange*> direct;
    std::vector<const RefChange*> symbolic;
    for (const RefChange& change : changes) {
        const bool is_in_the_way = std::binary_search(first.begin(), first.end(), change.name);
        (change.after.is_symbolic() ? symbolic : is_in_the_way ? freed : direct).push_back(&change);
    }
    if (freed.size() + direct.size() > bulk_changes) {
        move_many(changes, stop);
    } else {
        transaction(freed, stop);
        transaction(direct, stop);
    }
    for (const RefChange* change : symbolic) {
        set_symbolic(*change, stop);
    }
    sync_directories(changes);
}

/// What is never packed changes on its own.
void RefUpdater::move_many(const std::vector<RefChange>& changes, const std::stop_token& stop) {
    std::vector<const RefChange*> packed;
    std::vector<const RefChange*> others;
    for (const RefChange& change : changes) {
        const bool is_file = change.before.is_symbolic() || is_never_packed(change.name);
        if (!change.after.is_symbolic()) {
            (is_file ? others : packed).push_back(&change);
        }
    }
    transaction(others, stop);
    move_refs_at_once(program_, git_dir_, packed, stop);
}

void RefUpdater::transaction(const std::vector<const RefChange*>& changes,
                             const std::stop_token& stop) {
    if (changes.empty()) {
        return;
    }
    std::string input;
    for (const RefChange* change : changes) {
        append_command(input, *change);
    }
    Program::Call call;
    call.arguments = {"update-ref", "--no-deref", "--stdin", "-z"};
    call.input = input;
    const Outcome outcome = run_past_leftovers(program_, git_dir_, call, stop);
    if (outcome.ok()) {
        return;
    }
    const std::string doing = "updating refs of " + printable(git_dir_.native());
    if (held_lock(outcome).empty() && is_stale_value(outcome)) {
        throw Error(Reaction::Resync, doing + ": git says: " + outcome.complaint());
    }
    throw_failure(doing, outcome);
}

/// As git does it. False, with nothing changed: git is asked, and says what is wrong.
bool RefUpdater::set_head(const std::string& target) {
    const std::filesystem::path head = git_dir_ / "HEAD";
    const std::filesystem::path lock = git_dir_ / "HEAD.lock";
    if (!target.starts_with("refs/")) {
        return false;
    }
    const Fd fd(open(lock.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!fd.valid()) {
        return false;
    }
    try {
        write_and_sync(fd, "ref: " + target + "\n", lock);
        rename_path(lock, head);
    } catch (...) {
        unlink(lock.c_str());
        throw;
    }
    return true;
}

void RefUpdater::set_symbolic(const RefChange& change, const std::stop_token& stop) {
    if (change.name == "HEAD" && set_head(change.after.target)) {
        return;  // its directory is synced with the others'
    }
    const Outcome outcome =
        run_past_leftovers(program_, git_dir_,
                           {.arguments = {"symbolic-ref", change.name, change.after.target}}, stop);
    if (!outcome.ok()) {
        throw_failure("setting " + printable(change.name) + " in " + printable(git_dir_.native()),
                      outcome);
    }
    sync_path(git_dir_ / change.name);
}

void RefUpdater::sync_directories(const std::vector<RefChange>& changes) const {
    if (changes.size() > bulk_changes) {
        sync_file_system(git_dir_);
        return;
    }
    std::set<std::filesystem::path> directories{git_dir_, git_dir_ / "refs"};
    for (const RefChange& change : changes) {
        std::filesystem::path directory = std::filesystem::path(change.name).parent_path();
        for (; !directory.empty(); directory = directory.parent_path()) {
            directories.insert(git_dir_ / directory);
        }
    }
    for (const auto& directory : directories) {
        std::error_code ignored;
        if (std::filesystem::is_directory(directory, ignored)) {
            sync_path(directory);  // a deletion may have taken the directory away
        }
    }
}

}  // namespace antipode::git
