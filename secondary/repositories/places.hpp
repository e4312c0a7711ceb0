#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/seams/files.hpp"
#include "base/seams/repositories.hpp"
#include "base/synchronized.hpp"
#include "secondary/mirror_watch.hpp"

namespace antipode::secondary {

/// Repositories are items; what counts of their files are refs and packs. Refs are as they were
/// applied when their digest is; a pack, while its inode has not changed since the last update or
/// housekeeping (ctime). Loose objects, which a mirror has none of, are not watched.
class RepositoryPlaces final : public MirrorPlaces {
  public:
    /// Whether this site's housekeeping may have changed the repository at this time or later.
    using KeptSince = std::function<bool(const std::string& name, TimePoint since)>;

    /// `tree` is the store's root. All must outlive the object.
    RepositoryPlaces(StoreId store, FileTree& tree, Repositories& repositories,
                     const Registry& registry, KeptSince kept_since);

    bool excludes(const std::string& path) override;
    std::optional<std::string> item_of(const std::string& path, bool is_directory) override;
    bool is_here(const std::string& item) override;
    bool may_differ(const Touched& touched) override;

  private:
    /// The repository that `path` is in, or is: one that was applied, else one that is here.
    std::optional<std::string> repository_of(const std::string& path);
    /// The same for what is inside, where it may be a second old.
    std::optional<std::string> repository_around(const std::string& path);
    bool refs_differ(const Touched& touched);
    bool pack_differs(const Touched& touched);

    const StoreId store_;
    FileTree& tree_;
    Repositories& repositories_;
    const Registry& registry_;
    const KeptSince kept_since_;
    struct Found {
        std::string repository;
        std::chrono::steady_clock::time_point at;
    };
    Synchronized<Found> last_found_;
};

}  // namespace antipode::secondary
