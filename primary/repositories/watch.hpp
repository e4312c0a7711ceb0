#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/seams/files.hpp"
#include "base/seams/repositories.hpp"
#include "base/synchronized.hpp"

namespace antipode::primary {

/// Notices what happens to the repositories below a root: what their hooks report, and what changes
/// in the files, for which git runs no hook (repositories made, deleted, renamed; symbolic refs) or
/// no program does (libgit2, JGit, cp). Hooks remain what makes a push durable; file watching makes
/// sure that nothing is missed.
///
/// Watched are the directories that lead to repositories, and in a repository itself and its refs;
/// never its objects, logs or hooks, which change often and tell nothing.
///
/// Owner: whoever wires a repositories store. take() on one thread, the rest on any. What cannot be
/// watched is told by problem() and left to the reconcile.
class RepositoryWatch final : public RepositoryChanges {
  public:
    /// `tree` and `watch` are the store's root; `watch` belongs to this object alone, but for
    /// waiting. All must outlive it.
    RepositoryWatch(RepositoryChanges& hooks, FileTree& tree, FileWatch& watch);

    Taken take() override;
    void cover(const std::stop_token& stop) override;
    bool covers(const std::string& name) override;
    std::string problem() const override;

  private:
    using Identity = std::pair<uint64_t, uint64_t>;  ///< device and inode

    bool is_repository(const std::string& directory);
    std::optional<std::string> repository_above(const std::string& path);
    bool is_excluded(const std::string& path);
    void name_repositories_of(const std::string& path, std::set<std::string>& names);
    void cover_directory(const std::string& directory, bool in_refs,
                         std::vector<std::pair<std::string, bool>>& waiting, std::string& unlisted);
    bool root_is_the_same();

    RepositoryChanges& hooks_;
    FileTree& tree_;
    FileWatch& watch_;
    std::set<std::string> recognized_;      ///< repositories, during one take()
    std::optional<Identity> root_;          ///< at the last take()
    bool taken_ = false;                    ///< whether there was one
    std::atomic<bool> is_covered_ = false;  ///< whether cover() has come to its end
    Synchronized<std::string> unlisted_;    ///< why some directory could not be looked into
};

}  // namespace antipode::primary
