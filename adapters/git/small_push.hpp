#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/refs.hpp"

namespace antipode::git {

class LoadedPack;

/// What a push usually is, a few commits on top of what is known, done through libgit2 within this
/// process instead of by several git programs. It does the plain case only: everything returns
/// "no" where anything is not plain (large, shallow, SHA-256, missing, locked, unexpected), with
/// nothing changed, and git is asked then, which also says what is wrong. One repository, one
/// thread; opened anew for each use.
class SmallPush {
  public:
    /// nullptr: this repository is none for it.
    static std::unique_ptr<SmallPush> open(const std::filesystem::path& git_dir);
    ~SmallPush();

    struct MadePack {
        std::string bytes;
        std::filesystem::path file;  ///< in its place: a pack of the repository
        bool empty() const { return bytes.empty() && file.empty(); }
    };
    /// A pack of what `wants` lead to and `haves` do not (raw ids, 20 bytes). Of much it is the one
    /// that a push has left, if there is one with that and little else.
    std::optional<MadePack> make_pack(const std::vector<std::string>& wants,
                                      const std::vector<std::string>& haves);
    /// What is in it counts from then on. Nothing is asked of this object once the pack is gone.
    bool add(const LoadedPack& pack);
    /// Checks `pack`, completes it by what it builds on, and puts it with its index into
    /// `objects`/pack. What is below `objects` counts from then on.
    bool index(std::string_view pack, const std::filesystem::path& objects);
    /// Everything that `oids` lead to is there. Of `whole` (raw ids) that is known: the proof stops
    /// at them.
    bool prove(const std::vector<std::string>& oids, const std::vector<std::string>& whole);
    /// Locks all refs, checks their old values, and moves them, synced. Throws Error{Retry} when it
    /// fails on the way.
    bool move(const std::vector<RefChange>& changes);

  private:
    struct Opened;
    struct Met;
    explicit SmallPush(std::unique_ptr<Opened> opened);

    std::string write(const std::vector<Met>& met);
    std::string build(const std::vector<Met>& met);
    std::filesystem::path pushed_pack(const std::vector<Met>& met, size_t bytes);

    std::unique_ptr<Opened> opened_;
};

}  // namespace antipode::git
