#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/seams/files.hpp"
#include "base/synchronized.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// When the kernel noted the last change of a file, its name or its attributes (ctime).
inline TimePoint change_time(const FileStat& stat) {
    return std::chrono::floor<std::chrono::microseconds>(
        std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(stat.ctime_ns)));
}

/// Where a store's items stand in its tree of files. Implemented by secondary/blobs and
/// secondary/repositories. One thread.
class MirrorPlaces {
  public:
    virtual ~MirrorPlaces() = default;
    /// Not to be looked at, nor into.
    virtual bool excludes(const std::string& path) = 0;
    /// The item that a path belongs to, or would; nullopt: none. `is_directory`: as far as that is
    /// known of what may be gone.
    virtual std::optional<std::string> item_of(const std::string& path, bool is_directory) = 0;
    /// There is something of that name that could be an item. Reads no content.
    virtual bool is_here(const std::string& item) = 0;
    struct Touched {
        const std::string& path;  ///< at which something was noticed
        const std::string& item;  ///< that this is of
        TimePoint noticed;        ///< it happened before
        const ItemState& state;   ///< as it was applied last
        TimePoint applied;        ///< when that was recorded
    };
    /// Whether the item may be other than this site left it. Reads no content.
    virtual bool may_differ(const Touched& touched) = 0;
};

/// Watches the files of a mirror, to find within seconds what somebody changes there by hand: an
/// item that was touched after it had been applied is to be read again, and Sweep judges. What
/// changes as apply and housekeeping change it is not. Nothing depends on it: what is not seen (no
/// watches left, a queue that overflowed, changes while no daemon ran) the interval of Sweep finds.
///
/// step(): one thread. problem(), looked_again(): any.
class MirrorWatch {
  public:
    /// Something that was never applied is here, or what was is not any more: it, and all below.
    using Unknown = std::function<void(const std::string& name, bool here)>;

    /// The item is being applied: what that changed is not recorded yet. Called by step().
    using Applying = std::function<bool(const std::string& item)>;

    /// `watch` belongs to this object alone, but for waiting. All must outlive it.
    MirrorWatch(StoreId store, FileTree& tree, FileWatch& watch, MirrorPlaces& places,
                Registry& registry, Unknown unknown, Applying applying, const Clock& clock);

    /// What was noticed is judged once apply has had time to record what it did. Throws Stopped.
    void step(const std::stop_token& stop);

    /// Why not everything is watched; empty: it is.
    std::string problem() const;
    /// Items that were to be read again, since the start.
    uint64_t asked() const { return asked_.copy(); }

  private:
    using Identity = std::pair<uint64_t, uint64_t>;  ///< device and inode
    struct Noticed {
        SteadyTime first{};
        SteadyTime last{};
        TimePoint at{};
    };
    bool root_is_new();
    void cover_all(const std::stop_token& stop);
    void take();
    void note(const std::string& place);
    void judge_due(const std::stop_token& stop);
    bool is_being_applied(const std::string& place);
    void judge(const std::string& place, const Noticed& noticed, std::set<std::string>& differing,
               const std::stop_token& stop);
    /// That they are read again; empties it.
    void ask(std::set<std::string>& differing);
    void judge_item(const std::string& item, const std::string& path, const Noticed& noticed,
                    std::set<std::string>& differing);

    const StoreId store_;
    FileTree& tree_;
    FileWatch& watch_;
    MirrorPlaces& places_;
    Registry& registry_;
    const Unknown unknown_;
    const Applying applying_;
    const Clock& clock_;
    std::optional<Identity> root_;
    bool covered_ = false;
    SteadyTime cover_due_{};
    struct Known {
        bool is_read_again = false;  ///< or brought, already
        std::optional<ItemState> state;
        TimePoint applied{};
    };
    const Known& known_of(const std::string& item);
    std::map<std::string, Known> known_;      ///< by item, while what is due is judged
    std::map<std::string, Noticed> noticed_;  ///< by path; of directories with a '/' at its end
    Synchronized<std::string> problem_{"the mirror is not watched yet"};
    Synchronized<uint64_t> asked_{uint64_t{0}};
};

}  // namespace antipode::secondary
