#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/git/base_pack.hpp"
#include "adapters/git/hooks.hpp"
#include "adapters/git/house_turns.hpp"
#include "adapters/git/pack_progress.hpp"
#include "adapters/git/program.hpp"
#include "base/clock.hpp"
#include "base/seams/repositories.hpp"

namespace antipode::git {

/// Real repositories: libgit2 reads refs, the git program packs, checks and changes. Below the root
/// it owns ".antipode" (incoming packs, repositories in the making, trash). One per store; any
/// thread, see Repositories.
class GitRepositories final : public Repositories {
  public:
    struct Options {
        std::filesystem::path root;
        std::filesystem::path packs_directory;  ///< packs kept for pulling; empty: where only
                                                ///< changes are applied
        /// Refuses objects that git-fsck(1) calls broken. Off: whatever the primary holds is
        /// mirrored faithfully, many old repositories have such objects.
        bool strict_objects = false;
        /// What every repository that is created or changed here gets: it refuses whoever else
        /// would change it.
        std::optional<HookSettings> hook = std::nullopt;
    };

    /// Throws Error{Stop} when there is no git program.
    GitRepositories(Options options, const Clock& clock);

    std::string root() const override;
    Discovery discover(const std::stop_token& stop) override;
    void require_root() override;
    bool root_is_empty() override;
    Presence presence(const std::string& name) override;
    std::string fingerprint(const std::string& name) override;
    std::optional<RepositoryRefs> read_refs(const std::string& name) override;
    std::string pool_of(const std::string& name) override;

    std::string defect(const std::string& name, const std::stop_token& stop) override;

    void sync(const std::string& name) override;
    std::optional<Pack> make_pack(const std::string& name, const std::vector<std::string>& wants,
                                  const std::vector<std::string>& haves,
                                  const std::stop_token& stop) override;
    WholePacks make_whole_packs(const std::string& name, const std::vector<std::string>& wants,
                                const std::vector<std::string>& haves,
                                const std::stop_token& stop) override;
    std::unique_ptr<BulkBody> open_kept_pack(const Sha256& hash) override;
    size_t drop_kept_packs_before(TimePoint time) override;

    std::filesystem::path incoming_directory() override;
    void create(const std::string& name, const std::string& object_format,
                const std::stop_token& stop) override;
    Intake take_in(const std::string& name, const PackInput& pack, const Needed& needed,
                   const std::stop_token& stop) override;
    void update_refs(const std::string& name, const std::vector<RefChange>& changes,
                     const std::stop_token& stop) override;
    bool keep_house(const std::string& name, const std::stop_token& stop) override;
    void replace(const std::string& name, const std::string& by) override;
    void remove(const std::string& name) override;

    /// Deletes what an earlier run left below ".antipode" (half-made repositories, trash) and
    /// among the kept packs. Call it once, before anything else uses the root.
    void clean_leftovers();

    /// What is being packed now, for people; empty: nothing that takes long. Any thread.
    std::string packing() const { return progress_.describe(); }

    /// Where a repository is. Throws Error{Stop} for a name that could leave the root.
    std::filesystem::path path_of(const std::string& name) const;

  private:
    std::filesystem::path work_directory(const std::string& name);
    std::vector<std::filesystem::path> kept_packs() const;
    std::optional<Pack> keep_pushed(const std::filesystem::path& file, const std::stop_token& stop);
    std::optional<Pack> keep_base(const std::filesystem::path& file, const std::stop_token& stop);
    std::optional<Pack> pack(const std::string& name, const std::vector<std::string>& wants,
                             const std::vector<std::string>& haves,
                             const std::optional<BasePack>& base, const std::stop_token& stop);
    std::string broken_link(const std::string& name, const std::stop_token& stop);
    void guard(const std::filesystem::path& repository) const;
    std::vector<std::string> lean_on(const std::string& name, const std::string& pool,
                                     const std::stop_token& stop);
    void keep_borrowers(const std::string& pool, const std::stop_token& stop, int depth = 0);
    void let_go_of_pool(const std::string& name, const std::stop_token& stop, int depth = 0);
    void join_if_too_many(const std::string& name, const std::stop_token& stop);
    void keep_local_files(const std::filesystem::path& from, const std::filesystem::path& to) const;

    Options options_;
    const Clock& clock_;
    Program program_;
    HouseTurns turns_;
    PackProgress progress_;
};

}  // namespace antipode::git
