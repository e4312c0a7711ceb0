// The half of GitRepositories that changes repositories.
#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "adapters/git/quarantine.hpp"
#include "adapters/git/ref_update.hpp"
#include "adapters/git/repositories.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

/// A repository gets its packs joined when it has this many, so that git need not look into
/// hundreds of them for each object.
constexpr size_t many_packs = 40;

std::string parent_of(const std::string& name) {
    const size_t slash = name.rfind('/');
    return slash == std::string::npos ? std::string() : name.substr(0, slash);
}

size_t count_packs(const std::filesystem::path& git_dir) {
    std::error_code error;
    std::filesystem::directory_iterator entries(git_dir / "objects" / "pack", error);
    return static_cast<size_t>(std::count_if(begin(entries), end(entries), [](const auto& entry) {
        return entry.path().extension() == ".pack";
    }));
}

/// Keeps every object, also those that no ref leads to any more. A failure is no failure of what
/// was asked for: the repository is only slower until it works again.
void join_packs(const Program& program, const std::filesystem::path& git_dir,
                const std::stop_token& stop) {
    const Outcome outcome =
        program.run(git_dir, {.arguments = {"repack", "--geometric=2", "-d", "-q"}}, stop);
    if (!outcome.ok()) {
        spdlog::warn("joining the packs of {}: git says: {}", printable(git_dir.native()),
                     outcome.complaint());
    }
    sync_path(git_dir / "objects" / "pack");
}

}  // namespace

void GitRepositories::create(const std::string& name, const std::string& object_format,
                             const std::stop_token& stop) {
    const std::filesystem::path place = path_of(name);
    const std::filesystem::path made = make_unique_directory(work_directory("new"), "repository-");
    const TreeRemover remover(made);
    const std::filesystem::path repository = made / "repository.git";
    const Outcome outcome =
        program_.run({},
                     {.arguments = {"init", "--quiet", "--bare",
                                    "--template=", "--object-format=" + object_format,
                                    "--initial-branch=main", repository.string()}},
                     stop);
    if (!outcome.ok()) {
        throw_failure("creating repository " + printable(place.native()), outcome);
    }
    sync_file_system(repository);
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

Intake GitRepositories::take_in(const std::string& name, const PackInput& pack,
                                const std::vector<std::string>& wants, bool prove_all,
                                const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    Quarantine quarantine(program_, git_dir);
    if (!pack.empty()) {
        const Intake intake = quarantine.index(pack, options_.strict_objects, stop);
        if (intake.kind != Intake::Kind::Stored) {
            return intake;
        }
    }
    const Intake intake = quarantine.prove(wants, prove_all, stop);
    if (intake.kind == Intake::Kind::Stored && !pack.empty()) {
        quarantine.release();
        if (count_packs(git_dir) >= many_packs) {
            join_packs(program_, git_dir, stop);
        }
    }
    return intake;
}

void GitRepositories::update_refs(const std::string& name, const std::vector<RefChange>& changes,
                                  const std::stop_token& stop) {
    RefUpdater(program_, path_of(name)).run(changes, stop);
}

/// What is nobody's but this site's.
void GitRepositories::keep_local_files(const std::filesystem::path& from,
                                       const std::filesystem::path& to) const {
    namespace fs = std::filesystem;
    const bool readable = program_.run(from, {.arguments = {"config", "--list"}}, {}).ok();
    for (const char* file : {"config", "description", "git-daemon-export-ok", "hooks", "info"}) {
        if (fs::exists(from / file) && (readable || file != std::string_view("config"))) {
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
    sync_file_system(to);
}

void GitRepositories::replace(const std::string& name, const std::string& by) {
    const std::filesystem::path place = path_of(name);
    const std::filesystem::path fresh = path_of(by);
    try {
        keep_local_files(place, fresh);
    } catch (const std::filesystem::filesystem_error& error) {
        throw Error(Reaction::Retry,
                    std::string("copying what is this site's own: ") + error.what());
    }
    if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) != 0) {
        const bool is_gone = errno == ENOENT && !std::filesystem::exists(place);
        if (errno != EINVAL && !is_gone) {
            throw_errno("putting a repository in the place of", place);
        }
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
    const std::filesystem::path trash = make_unique_directory(work_directory("trash"), "removed-");
    const TreeRemover remover(trash);
    rename_path(place, trash / "repository.git");
    sync_path(place.parent_path());
    sync_path(trash);
}

}  // namespace antipode::git
