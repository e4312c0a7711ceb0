// The half of GitRepositories that changes repositories.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/borrowing.hpp"
#include "adapters/git/empty_repository.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/housekeeping.hpp"
#include "adapters/git/quarantine.hpp"
#include "adapters/git/ref_update.hpp"
#include "adapters/git/repositories.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

/// So many git follows, one behind the other.
constexpr int most_alternates = 5;
constexpr std::chrono::milliseconds no_patience(0);
/// A push waits so long for whoever keeps house while there are too many packs.
constexpr std::chrono::seconds house_patience(1);

std::string parent_of(const std::string& name) {
    const size_t slash = name.rfind('/');
    return slash == std::string::npos ? std::string() : name.substr(0, slash);
}

}  // namespace

void GitRepositories::create(const std::string& name, const std::string& object_format,
                             const std::stop_token& /*stop*/) {
    const std::filesystem::path place = path_of(name);
    const std::filesystem::path made = make_unique_directory(work_directory("new"), "repository-");
    const TreeRemover remover(made);
    const std::filesystem::path repository = made / "repository.git";
    make_empty_repository(repository, object_format);
    guard(repository);
    const std::string parent = parent_of(name);
    bool foreign = false;
    open_beneath(options_.root, parent, foreign);
    if (foreign) {
        throw Error(Reaction::Retry,
                    printable(parent) + " is no plain directory: nothing can be created below it",
                    "replace the symbolic link or file below the root by a directory");
    }
    make_directories_durably(options_.root, parent);
    rename_path(repository, place);
    sync_path(place.parent_path());
}

/// No failure of what was asked for: what git would not call (core.hooksPath) cannot be helped
/// here.
void GitRepositories::guard(const std::filesystem::path& repository) const {
    if (!options_.hook) {
        return;
    }
    try {
        guard_mirror(repository, *options_.hook);
    } catch (const Error& error) {
        spdlog::debug("pushes to a mirror may not be refused: {}", error.what());
    }
}

Intake GitRepositories::take_in(const std::string& name, const PackInput& pack,
                                const Needed& needed, const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    const std::vector<std::string> known = lean_on(name, needed.pool, stop);
    Quarantine quarantine(program_, git_dir);
    bool proven = !options_.strict_objects && quarantine.take_plain(pack, needed, known);
    const bool believed =
        !proven && !options_.strict_objects && quarantine.believe(pack, needed, stop);
    if (!proven && !believed && !pack.empty()) {
        const Intake intake = quarantine.index(pack, needed, options_.strict_objects, stop);
        if (intake.kind != Intake::Kind::Stored) {
            return intake;
        }
        proven = quarantine.is_proven(needed);
    }
    Intake intake = proven || believed ? Intake{} : quarantine.prove(needed, known, stop);
    intake.proven = !believed;
    if (intake.kind == Intake::Kind::Stored && !pack.empty()) {
        quarantine.release();
        join_if_too_many(name, stop);
    }
    return intake;
}

/// From now on it borrows from `pool`. What the pool's refs lead to was proven when they moved.
std::vector<std::string> GitRepositories::lean_on(const std::string& name, const std::string& pool,
                                                  const std::stop_token& stop) {
    if (pool.empty()) {
        return {};
    }
    const auto refs = pool == name ? std::nullopt : read_refs(pool);
    if (!refs) {
        throw Error(Reaction::Retry,
                    printable(name) + " borrows objects from " + printable(pool) +
                        ", which is not here yet",
                    "antipode status, see exceptions: " + printable(pool));
    }
    const std::string now = pool_of(name);
    if (now != pool) {
        if (!now.empty()) {
            let_go_of_pool(name, stop);
        }
        borrow_from(options_.root, name, pool);
    }
    const std::set<std::string> oids = oids_of(refs->refs);
    return {oids.begin(), oids.end()};
}

/// Nothing is taken away from under them. `depth`: how far behind the first pool they are.
void GitRepositories::keep_borrowers(const std::string& pool, const std::stop_token& stop,
                                     int depth) {
    if (depth == most_alternates) {
        return;
    }
    for (const std::string& borrower : borrowers_of(options_.root, pool, stop)) {
        spdlog::info("{} gets copies of what it borrows from {}", printable(borrower),
                     printable(pool));
        let_go_of_pool(borrower, stop, depth + 1);
    }
}

/// What others reach through it they copy first: it keeps only what its own refs need.
void GitRepositories::let_go_of_pool(const std::string& name, const std::stop_token& stop,
                                     int depth) {
    keep_borrowers(name, stop, depth);
    const auto turn = turns_.take(name);
    stop_borrowing(program_, path_of(name), stop);
}

/// When nobody keeps house, or not fast enough. Whoever keeps it is waited for, a while at each
/// push: that gives it the CPU that it lacks, and lets no more packs come than it can join. A
/// failure is no failure of what was asked for: the repository is only slower until it works again.
void GitRepositories::join_if_too_many(const std::string& name, const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    if (count_packs(git_dir) < too_many_packs) {
        return;
    }
    const auto turn = turns_.begin(name, house_patience, stop);
    if (!turn) {
        return;
    }
    try {
        join_added_packs(program_, git_dir, look_at_house(git_dir), stop);
    } catch (const Error& error) {
        spdlog::warn("{}", error.what());
    }
}

bool GitRepositories::keep_house(const std::string& name, const std::stop_token& stop) {
    const auto turn = turns_.begin(name, no_patience, stop);
    if (!turn || presence(name) != Presence::Repository) {
        return false;
    }
    try {
        return antipode::git::keep_house(program_, path_of(name), turn->token());
    } catch (const Stopped&) {
        if (stop.stop_requested()) {
            throw;
        }
        return false;  // the repository goes away
    }
}

void GitRepositories::update_refs(const std::string& name, const std::vector<RefChange>& changes,
                                  const std::stop_token& stop) {
    for (const RefChange& change : changes) {
        if (change.name == pool_name && change.after.absent() && !pool_of(name).empty()) {
            let_go_of_pool(name, stop);
        }
    }
    guard(path_of(name));
    RefUpdater(program_, path_of(name)).run(changes, stop);
}

/// What is nobody's but this site's.
void GitRepositories::keep_local_files(const std::filesystem::path& from,
                                       const std::filesystem::path& to) const {
    namespace fs = std::filesystem;
    const bool readable = program_.run(from, {.arguments = {"config", "--list"}}, {}).ok();
    for (const char* file : {"config", "git-daemon-export-ok", "hooks", "info"}) {
        if (fs::exists(from / file) && (readable || file != std::string_view("config"))) {
            fs::remove_all(to / file);
            fs::copy(from / file, to / file,
                     fs::copy_options::recursive | fs::copy_options::overwrite_existing |
                         fs::copy_options::copy_symlinks);
        }
    }
    struct stat was {};
    if (stat(from.c_str(), &was) == 0 &&
        (chown(to.c_str(), was.st_uid, was.st_gid) != 0 || chmod(to.c_str(), was.st_mode) != 0)) {
        throw_errno("giving a repository its owner and mode", to);
    }
    guard(to);
    sync_file_system(to);
}

void GitRepositories::replace(const std::string& name, const std::string& by) {
    const std::filesystem::path place = path_of(name);
    const std::filesystem::path fresh = path_of(by);
    auto turn = turns_.take(name);
    try {
        keep_local_files(place, fresh);
        if (const std::string pool = pool_of(by); !pool.empty()) {
            point_to_pool(options_.root, by, name, pool);
        }
    } catch (const std::filesystem::filesystem_error& error) {
        throw Error(Reaction::Retry,
                    std::string("copying what is this site's own: ") + error.what());
    }
    if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) != 0) {
        const bool is_gone = errno == ENOENT && !std::filesystem::exists(place);
        if (errno != EINVAL && !is_gone) {
            throw_errno("putting a repository in the place of", place);
        }
        turn.reset();
        remove(name);
        rename_path(fresh, place);
    }
    sync_path(place.parent_path());
    sync_path(fresh.parent_path());
    remove(by);
}

void GitRepositories::remove(const std::string& name) {
    const std::filesystem::path place = path_of(name);
    if (presence(name) == Presence::Absent) {
        return;
    }
    keep_borrowers(name, {});
    const auto turn = turns_.take(name);
    const std::filesystem::path trash = make_unique_directory(work_directory("trash"), "removed-");
    const TreeRemover remover(trash);
    rename_path(place, trash / "repository.git");
    sync_path(place.parent_path());
    sync_path(trash);
}

}  // namespace antipode::git
