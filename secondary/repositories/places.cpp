#include "secondary/repositories/places.hpp"

#include "base/error.hpp"
#include "base/files.hpp"
#include "verify/refs.hpp"

namespace antipode::secondary {
namespace {

constexpr std::string_view packs = "objects/pack";
/// Between a change and its being noticed; where it takes longer, a repository is read once more.
constexpr std::chrono::seconds notice_time(1);
constexpr std::chrono::seconds found_for(1);

/// Whether a path inside a repository belongs to its refs. No ref ends in ".lock".
bool is_of_refs(std::string_view inside) {
    return inside == "HEAD" || inside == "packed-refs" || inside == "shallow" || inside == "refs" ||
           (inside.starts_with("refs/") && !inside.ends_with(".lock"));
}

/// What is half written has another name.
bool is_pack(std::string_view inside) {
    return inside.starts_with("objects/pack/pack-") &&
           (inside.ends_with(".pack") || inside.ends_with(".idx"));
}

/// Where git and this daemon write objects before they get their names: most of what changes. A ref
/// may have such a name.
bool is_half_written(std::string_view path) {
    const size_t at = path.find("/objects/tmp_objdir-");
    return at != std::string_view::npos &&
           path.substr(0, at).find("/refs") == std::string_view::npos;
}

/// "" for the repository itself.
std::string_view inside_of(const std::string& path, const std::string& repository) {
    return path.size() == repository.size() ? std::string_view()
                                            : std::string_view(path).substr(repository.size() + 1);
}

}  // namespace

RepositoryPlaces::RepositoryPlaces(StoreId store, FileTree& tree, Repositories& repositories,
                                   const Registry& registry, KeptSince kept_since)
    : store_(std::move(store)),
      tree_(tree),
      repositories_(repositories),
      registry_(registry),
      kept_since_(std::move(kept_since)) {}

std::optional<std::string> RepositoryPlaces::repository_of(const std::string& path) {
    for (const bool applied : {true, false}) {
        for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
            const std::string name = path.substr(0, end);
            const auto state = applied ? registry_.find(store_, name) : std::nullopt;
            if (applied ? state && !state->digest.empty() : is_here(name)) {
                return name;
            }
            if (end == std::string::npos) {
                break;
            }
        }
    }
    return std::nullopt;
}

/// A push changes a dozen files of one repository.
std::optional<std::string> RepositoryPlaces::repository_around(const std::string& path) {
    const auto now = std::chrono::steady_clock::now();
    Found last = last_found_.copy();
    // Nothing else may be there a moment later than a repository.
    const bool is_around =
        !last.repository.empty() && (path.starts_with(last.repository + "/objects/") ||
                                     path.starts_with(last.repository + "/refs/"));
    if (is_around && now - last.at < found_for) {
        return std::move(last.repository);
    }
    auto repository = repository_of(path);
    if (repository) {
        last_found_.with([&](Found& found) { found = {*repository, now}; });
    }
    return repository;
}

bool RepositoryPlaces::excludes(const std::string& path) {
    if (is_private(path) || is_half_written(path)) {
        return true;
    }
    const auto repository = repository_around(path);
    if (!repository) {
        return false;
    }
    const std::string_view inside = inside_of(path, *repository);
    return !inside.empty() && !is_of_refs(inside) && inside != "objects" && inside != packs &&
           !is_pack(inside);
}

std::optional<std::string> RepositoryPlaces::item_of(const std::string& path, bool) {
    return repository_of(path);
}

bool RepositoryPlaces::is_here(const std::string& item) {
    try {
        return repositories_.presence(item) == Presence::Repository;
    } catch (const Error&) {
        return false;  // whoever reads it says why
    }
}

bool RepositoryPlaces::may_differ(const Touched& touched) {
    const std::string_view inside = inside_of(touched.path, touched.item);
    if (inside.empty() || is_of_refs(inside)) {
        return refs_differ(touched);
    }
    if (is_pack(inside)) {
        return pack_differs(touched);
    }
    const auto directory = tree_.stat(touched.path);
    return !directory || directory->type != FileType::Directory;
}

bool RepositoryPlaces::refs_differ(const Touched& touched) {
    const auto file = tree_.stat(touched.path);
    if (file && file->type == FileType::Regular && change_time(*file) <= touched.applied) {
        return false;
    }
    try {
        const auto refs = repositories_.read_refs(touched.item);
        return !refs || verify::refs_digest(*refs) != touched.state.digest;
    } catch (const Error&) {
        return true;
    }
}

bool RepositoryPlaces::pack_differs(const Touched& touched) {
    const auto stat = tree_.stat(touched.path);
    if (!stat) {
        return !kept_since_(touched.item, touched.noticed - notice_time);
    }
    const TimePoint changed = change_time(*stat);
    return changed > touched.applied && !kept_since_(touched.item, changed);
}

}  // namespace antipode::secondary
