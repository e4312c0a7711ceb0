#include "primary/repositories/watch.hpp"

#include <algorithm>
#include <iterator>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/files.hpp"

namespace antipode::primary {
namespace {

constexpr std::string_view refs_directory = "refs";

std::string join(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
}

/// Calls `use(directory)` with each directory above `path`, the outermost first and without the
/// root, until it returns true.
template <typename Use>
void for_each_above(const std::string& path, Use&& use) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        if (use(path.substr(0, slash))) {
            return;
        }
    }
}

/// Discovery of repositories does not look there either.
bool is_left_out(std::string_view name) {
    return name == private_directory || name == ".git";
}

bool has_part_left_out(std::string_view path) {
    while (true) {
        const size_t slash = path.find('/');
        if (is_left_out(path.substr(0, slash))) {
            return true;
        }
        if (slash == std::string_view::npos) {
            return false;
        }
        path.remove_prefix(slash + 1);
    }
}

/// Whether a path inside a repository belongs to what its refs are made of. No ref ends in ".lock".
bool is_of_refs(std::string_view inside) {
    return inside == "HEAD" || inside == "packed-refs" || inside == "description" ||
           inside == "shallow" || inside == refs_directory ||
           (inside.starts_with("refs/") && !inside.ends_with(".lock"));
}

bool is_part(const std::string& name, FileType type) {
    const bool link = type == FileType::SymbolicLink;
    return name == "HEAD" ? type == FileType::Regular || link
                          : (name == "objects" || name == refs_directory) &&
                                (type == FileType::Directory || link);
}

/// A directory with this many of HEAD, objects and refs is a repository, whole, being made, or
/// damaged: as Presence has it.
constexpr int parts_of_repository = 2;

}  // namespace

RepositoryWatch::RepositoryWatch(RepositoryChanges& hooks, FileTree& tree, FileWatch& watch)
    : hooks_(hooks), tree_(tree), watch_(watch) {
    // Asked by drain() only, so on the thread of take().
    watch_.exclude([this](const std::string& path) { return is_excluded(path); });
}

RepositoryChanges::Taken RepositoryWatch::take() {
    recognized_.clear();
    Taken taken = hooks_.take();
    FileWatch::Changes changes = watch_.drain();
    std::set<std::string> names(taken.names.begin(), taken.names.end());
    for (const std::string& file : changes.files) {
        name_repositories_of(file, names);
    }
    for (const std::string& directory : changes.gone_directories) {
        name_repositories_of(directory, names);
    }
    taken.names.assign(names.begin(), names.end());
    std::move(changes.gone_directories.begin(), changes.gone_directories.end(),
              std::back_inserter(taken.gone_directories));
    // Last, so that a root that went away meanwhile is seen.
    const bool same_root = root_is_the_same();
    taken.complete = taken.complete && changes.complete && same_root;
    return taken;
}

/// False, once, when another directory has the root's name now: a file system was mounted there, or
/// it was moved. The watches have stayed with the old one.
bool RepositoryWatch::root_is_the_same() {
    std::optional<Identity> now;
    try {
        if (const auto stat = tree_.stat("")) {
            now = {stat->device, stat->inode};
        }
    } catch (const Error&) {
        // As good as missing; the reconcile says why.
    }
    const bool same = !taken_ || now == root_;
    taken_ = true;
    root_ = now;
    return same;
}

/// Adds the repository that has, or had, `path` in it: the outermost directory that is one. When
/// none is, it is gone or being made: then every directory that may have been it.
void RepositoryWatch::name_repositories_of(const std::string& path, std::set<std::string>& names) {
    if (has_part_left_out(path)) {
        return;
    }
    if (const auto repository = repository_above(path)) {
        if (is_of_refs(std::string_view(path).substr(repository->size() + 1))) {
            names.insert(*repository);
        }
        return;
    }
    for_each_above(path, [&](const std::string& directory) {
        if (is_of_refs(std::string_view(path).substr(directory.size() + 1))) {
            names.insert(directory);
        }
        return false;
    });
}

bool RepositoryWatch::is_repository(const std::string& directory) {
    int parts = 0;
    for (const char* name : {"HEAD", "objects", "refs"}) {
        try {
            const auto stat = tree_.stat(join(directory, name));
            parts += stat && is_part(name, stat->type) ? 1 : 0;
        } catch (const Error&) {
            // Then it is watched like any other directory, and told of if that cannot be.
        }
    }
    return parts >= parts_of_repository;
}

std::optional<std::string> RepositoryWatch::repository_above(const std::string& path) {
    std::optional<std::string> found;
    for_each_above(path, [&](const std::string& directory) {
        if (recognized_.contains(directory)) {
            found = directory;
        }
        return found.has_value();
    });
    if (!found) {
        for_each_above(path, [&](const std::string& directory) {
            if (is_repository(directory)) {
                found = *recognized_.insert(directory).first;
            }
            return found.has_value();
        });
    }
    return found;
}

bool RepositoryWatch::is_excluded(const std::string& path) {
    if (has_part_left_out(path)) {
        return true;
    }
    const auto repository = repository_above(path);
    return repository && !is_of_refs(std::string_view(path).substr(repository->size() + 1));
}

void RepositoryWatch::cover(const std::stop_token& stop) {
    std::string unlisted;
    std::vector<std::pair<std::string, bool>> waiting = {{"", false}};
    while (!waiting.empty()) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const auto [directory, in_refs] = std::move(waiting.back());
        waiting.pop_back();
        cover_directory(directory, in_refs, waiting, unlisted);
    }
    unlisted_.with([&](std::string& known) { known = unlisted; });
    is_covered_ = true;
}

/// Watches a directory, then lists it: what comes between is noticed.
void RepositoryWatch::cover_directory(const std::string& directory, bool in_refs,
                                      std::vector<std::pair<std::string, bool>>& waiting,
                                      std::string& unlisted) {
    watch_.cover(directory);
    std::vector<FileTree::Entry> entries;
    try {
        entries = tree_.list(directory).value_or(std::vector<FileTree::Entry>());
    } catch (const Error& error) {
        unlisted = unlisted.empty() ? error.describe() : unlisted;
        return;
    }
    const auto parts = std::count_if(entries.begin(), entries.end(), [](const auto& entry) {
        return is_part(entry.name, entry.stat.type);
    });
    const bool repository = !in_refs && !directory.empty() && parts >= parts_of_repository;
    for (const FileTree::Entry& entry : entries) {
        const bool leads_on =
            repository ? entry.name == refs_directory : in_refs || !is_left_out(entry.name);
        if (entry.stat.type == FileType::Directory && leads_on) {
            waiting.emplace_back(join(directory, entry.name), in_refs || repository);
        }
    }
}

bool RepositoryWatch::covers(const std::string& name) {
    try {
        // Behind a symbolic link nothing is watched.
        const auto refs = tree_.stat(join(name, std::string(refs_directory)));
        if (problem().empty() && !(refs && refs->type == FileType::SymbolicLink)) {
            return true;
        }
    } catch (const Error&) {
        // Then only its hook can tell.
    }
    return hooks_.covers(name);
}

std::string RepositoryWatch::problem() const {
    if (!is_covered_) {
        return "the root " + printable(tree_.root().native()) + " is not watched yet";
    }
    const std::string unlisted = unlisted_.copy();
    return unlisted.empty() ? watch_.problem() : unlisted;
}

}  // namespace antipode::primary
