#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/refs.hpp"
#include "base/seams/bulk.hpp"

/// Bare git repositories below a root, as the lanes see them. Implemented by adapters/git and, in
/// memory, by simulations. A repository's name is its path below the root: raw bytes.
namespace antipode {

/// What is found at a repository's place.
enum class Presence {
    Absent,
    Repository,
    Damaged,  ///< was a repository once: some of HEAD, objects and refs is missing
    Foreign,  ///< something else: a plain directory, a file, a symbolic link on the way
};

struct Discovery {
    std::vector<std::string> found;  ///< repositories, damaged ones too, in byte order
    /// Directories that could not be looked into, with a '/' at the end; "" is the root. Nothing
    /// can be said of repositories below them.
    std::vector<std::string> unreadable;
};

/// Objects on their way to another site.
struct Pack {
    Sha256 sha256{};
    uint64_t size = 0;
    std::string bytes;  ///< when not larger than limits::inline_content_bytes; else it is kept
};

/// What a site that has nothing of a repository needs of it.
struct WholePacks {
    /// A pack that is there: kept as it is, with what else it holds.
    std::optional<Pack> base;
    std::optional<Pack> base_index;  ///< git's, of the base; kept, too, however small
    std::optional<Pack> rest;        ///< what the base lacks
};

/// Where a pack to be taken in is.
struct PackInput {
    std::string_view bytes;      ///< used when `file` is empty; both empty: no new objects
    std::filesystem::path file;  ///< stays where it is
    std::filesystem::path base;  ///< a whole pack that comes first; empty: none
    /// The index that another site has of `base`: believed for now where that is safe to undo.
    /// Empty: it is made here.
    std::filesystem::path base_index{};
    bool empty() const { return bytes.empty() && file.empty() && base.empty(); }
};

/// What has to be here once a pack was taken in.
struct Needed {
    std::vector<std::string> oids;     ///< raw; and everything that they lead to,
    std::vector<std::string> shallow;  ///< but for the parents of these
    std::string pool;  ///< what this repository leads to is here; borrowed from before the proof
    bool prove_all = false;        ///< the proof does not rely on what existing refs lead to
    std::set<std::string> here{};  ///< what refs point to: the proof may stop there
};

/// What became of a pack.
struct Intake {
    enum class Kind {
        Stored,      ///< synced, and everything the wanted objects lead to is there
        BadPack,     ///< not a pack, cut off, or an object in it is broken
        Incomplete,  ///< an object that is needed is neither in the pack nor here
    };
    Kind kind = Kind::Stored;
    std::string reason;
    /// False: stored, but the objects were not read: that they are what their names say, and lead
    /// to nothing that is missing, is another site's word until defect() has looked.
    bool proven = true;
};

/// Thread-safe for different repositories; one repository is changed by one thread at a time.
/// Errors: Retry (I/O, a lock that somebody holds), Resync (this repository's own files cannot be
/// read: it is corrupt), Stop (a name that must never be used as a path). Long calls take a stop
/// token and throw Stopped.
class Repositories {
  public:
    virtual ~Repositories() = default;

    /// The root, for messages.
    virtual std::string root() const = 0;
    /// All repositories below the root. Symbolic links are not followed; there is no looking inside
    /// repositories, nor into ".antipode" and ".git". Throws Error{Retry} when there is no root.
    virtual Discovery discover(const std::stop_token& stop) = 0;
    /// Throws Error{Retry} when there is no root. Cheap, however many repositories there are.
    virtual void require_root() = 0;
    /// Nothing at all below the root, as when a disk is not mounted. Throws when there is no root.
    virtual bool root_is_empty() = 0;
    virtual Presence presence(const std::string& name) = 0;

    /// Two equal, not empty fingerprints mean equal refs. Cheap: it looks at names, inodes, sizes
    /// and times only. Empty: a change is so young that times cannot tell it from a later one.
    virtual std::string fingerprint(const std::string& name) = 0;
    /// All refs, as they are at one moment as far as git can tell; nullopt when absent. Throws
    /// Error{Resync} that names the ref when one is unreadable.
    virtual std::optional<RepositoryRefs> read_refs(const std::string& name) = 0;
    /// The repository below the root whose objects it borrows; empty: none. Cheap.
    virtual std::string pool_of(const std::string& name) = 0;

    /// Reads every object, whole. What is wrong with them, or with what they and the refs lead to,
    /// in git's words; empty: nothing. Objects that are only badly written are not wrong.
    virtual std::string defect(const std::string& name, const std::stop_token& stop) = 0;

    // ---- where changes are captured ----

    /// Makes durable what the repository holds: git leaves new refs and loose objects unsynced.
    virtual void sync(const std::string& name) = 0;
    /// Packs the objects that are reachable from `wants` and not from `haves` (raw ids; those that
    /// do not exist any more are ignored). nullopt: there are none. A pack that is too large for
    /// an event is kept, synced, under its hash.
    virtual std::optional<Pack> make_pack(const std::string& name,
                                          const std::vector<std::string>& wants,
                                          const std::vector<std::string>& haves,
                                          const std::stop_token& stop) = 0;
    /// The same without packing again what most of the repository is in: the largest pack, if it
    /// can be kept without a copy.
    virtual WholePacks make_whole_packs(const std::string& name,
                                        const std::vector<std::string>& wants,
                                        const std::vector<std::string>& haves,
                                        const std::stop_token& stop) = 0;
    /// A kept pack; nullptr when it is not kept (any more).
    virtual std::unique_ptr<BulkBody> open_kept_pack(const Sha256& hash) = 0;
    /// Drops kept packs that were made before `time`; returns how many.
    virtual size_t drop_kept_packs_before(TimePoint time) = 0;

    // ---- where changes are applied ----

    /// Where pulled packs are put; on the root's file system. It exists.
    virtual std::filesystem::path incoming_directory() = 0;
    /// Makes an empty repository, whole or not at all, with the directories above it.
    virtual void create(const std::string& name, const std::string& object_format,
                        const std::stop_token& stop) = 0;
    /// Takes a pack in: in quarantine, checked, what is needed proven to be there, but for what
    /// Intake::proven says; then its objects become visible, synced. Throws Error{Retry} when the
    /// pool is not here.
    virtual Intake take_in(const std::string& name, const PackInput& pack, const Needed& needed,
                           const std::stop_token& stop) = 0;
    /// Sets refs from their expected old values; synced. Where many change, all or none, whatever
    /// dies; else as far as git can (refs whose name must be freed first, and always symbolic refs
    /// and what is no ref, change in turn). Throws Error{Resync} when an old
    /// value is not as expected, Error{Retry} that names the lock when a ref is locked.
    virtual void update_refs(const std::string& name, const std::vector<RefChange>& changes,
                             const std::stop_token& stop) = 0;
    /// Puts the repository `by` in the place of `name`, durably; where the file system can, nobody
    /// sees a moment without one. What is this site's own stays: configuration, hooks, owner and
    /// mode. The rest of what was there is deleted.
    virtual void replace(const std::string& name, const std::string& by) = 0;
    /// Keeps the repository fast to read, as far as that is due: few packs, bitmaps, packed refs.
    /// Beside readers and changes; false: nothing was to be done. Throws Error{Retry}, Stopped.
    virtual bool keep_house(const std::string& name, const std::stop_token& stop) = 0;
    /// Takes the repository out of sight at once, durably, then deletes it; what others borrow from
    /// it they get copies of before. Absent is fine.
    virtual void remove(const std::string& name) = 0;
};

/// What changed below the root, as hooks and file watching report it.
class RepositoryChanges {
  public:
    struct Taken {
        /// Repositories that changed, or may have: what is there now is to be looked up. In byte
        /// order, each once.
        std::vector<std::string> names;
        /// Directories that went away with every repository at or below them.
        std::vector<std::string> gone_directories;
        bool complete = true;  ///< false: something changed, and nobody knows what
    };

    virtual ~RepositoryChanges() = default;
    /// Everything reported since the last call. One thread.
    virtual Taken take() = 0;
    /// A reconcile calls it before it looks: from its return on, whatever changes is reported, as
    /// far as that is possible at all. One call at a time, on any thread. Throws Stopped.
    virtual void cover(const std::stop_token& stop) = 0;
    /// Whether changes of this repository are reported. Any thread.
    virtual bool covers(const std::string& name) = 0;
    /// Why there may be changes that are not reported, with the remedy; empty: there are none. Any
    /// thread.
    virtual std::string problem() const = 0;
};

}  // namespace antipode
