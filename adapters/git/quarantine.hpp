#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/git/loaded_pack.hpp"
#include "adapters/git/program.hpp"
#include "base/seams/repositories.hpp"

namespace antipode::git {

class SmallPush;

/// New objects of one repository, kept apart until they are proven good: a directory inside the
/// repository's objects directory with the repository's own objects as its alternate (as git's own
/// receive-pack does it), or, for small ones, this process's memory. One thread. What was not
/// released goes away with this object, or, after a crash, when the next one is made for the same
/// repository.
class Quarantine {
  public:
    Quarantine(const Program& program, std::filesystem::path git_dir);
    ~Quarantine();
    Quarantine(const Quarantine&) = delete;
    Quarantine& operator=(const Quarantine&) = delete;

    /// Checks the packs' own sums, every object's hash, and completes a thin pack from what is in
    /// the repository. `strict` refuses also what git-fsck(1) complains of. Where nothing else is
    /// in the repository, it proves in the same pass that every link leads to what came.
    Intake index(const PackInput& pack, const Needed& needed, bool strict,
                 const std::stop_token& stop);
    /// Instead of index() and prove(): where nothing is that could be harmed, and whatever is wrong
    /// is found and replaced later, the index that came with the base is believed. What is needed
    /// is named by it, or in what came beside, which is read. False: this cannot be done, or the
    /// index is wrong at a glance.
    bool believe(const PackInput& pack, const Needed& needed, const std::stop_token& stop);
    /// index() proved what prove() would: the packs are closed, and what is needed is in them.
    bool is_proven(const Needed& needed) const;
    /// Proves that what is needed is in the quarantine or in the repository: down to what existing
    /// refs lead to, or (`prove_all`) down to the last object.
    /// What `known` (raw ids) lead to is there.
    Intake prove(const Needed& needed, const std::vector<std::string>& known,
                 const std::stop_token& stop);
    /// index() and prove() at once, within this process, where all is plain and good. False: do
    /// both. `pack`.bytes outlive the release.
    bool take_plain(const PackInput& pack, const Needed& needed,
                    const std::vector<std::string>& known);
    /// Makes the objects part of the repository, synced. Throws Error{Retry} when they are not all
    /// there any more.
    void release();

  private:
    std::vector<std::string> environment() const;
    void make_directory();
    bool load(SmallPush& push, const PackInput& pack);
    void release_loaded();
    void write_in(std::string_view bytes, const std::filesystem::path& place) const;
    void clear();
    bool believe_index(const PackInput& pack, const Needed& needed);
    bool names_all(const Needed& needed) const;
    Intake index_one(const PackInput& pack, std::vector<std::string> arguments, bool is_first,
                     const std::stop_token& stop);
    std::filesystem::path link(const std::filesystem::path& file, const std::string& name);
    std::string shallow_file(const std::vector<std::string>& shallow);

    const Program& program_;
    std::filesystem::path git_dir_;
    std::filesystem::path directory_;   ///< empty until there is something to keep apart
    bool is_synced_ = false;            ///< what is in it, but for its names
    std::optional<LoadedPack> loaded_;  ///< instead of the directory
    std::string_view loaded_bytes_;     ///< its own: `pulled_`, or who asked has them
    std::string pulled_;
    bool is_closed_ = false;  ///< every link of what was indexed leads to what was indexed
};

}  // namespace antipode::git
