#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/seams/files.hpp"
#include "base/synchronized.hpp"
#include "primary/blobs/filter.hpp"
#include "primary/blobs/state.hpp"
#include "primary/blobs/walk.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"

namespace antipode::primary {

/// Capture of the regular files below a root; an item is a file's path. A file is known by its
/// stat (nanoseconds, ctime, inode) and read only when that differs. Symbolic links, devices,
/// sockets and pipes are skipped and counted. Directories exist through their files, or are items
/// of their own (names_directory), with their permission bits.
///
/// A root that is missing or was replaced is an error; one that is empty although files were
/// published from it is told as such (Noticed::emptied): never a mass deletion. Threads: see
/// ItemCapture.
class BlobCapture final : public ItemCapture {
  public:
    /// The references must outlive the object.
    BlobCapture(StoreId store, FileTree& tree, FileWatch& watch, const Inventory& inventory,
                const Clock& clock, PathFilter filter, bool directories = false);

    const StoreId& store() const override { return store_; }
    Noticed drain() override;
    Noticed reconcile(const std::stop_token& stop) override;
    std::optional<Reading> read(const std::string& item, bool whole,
                                const std::stop_token& stop) override;
    std::optional<Published> assume(const std::string& item, const Digest& digest) override;
    std::string defect(const std::string& item, const Pace& pace,
                       const std::stop_token& stop) override;
    std::optional<std::string> why_no_item(const std::string& item) override;
    bool notices_everything() const override;
    /// While many wait, their contents are not carried by the stream: secondaries pull them
    /// together, which costs both sites much less.
    void waiting(size_t items) override { waiting_ = items; }

    /// What the last reconcile left out. Any thread.
    Skipped skipped() const { return skipped_.copy(); }
    /// Why notices_everything() is false or a part of the root was not looked at, with the remedy;
    /// empty when all is well. Any thread.
    std::string problem() const;

  private:
    /// Tells one file system on the root's path from another.
    struct RootIdentity {
        uint64_t device = 0;
        uint64_t inode = 0;
        bool operator==(const RootIdentity&) const = default;
    };
    /// A file's content as far as it could be read in one state.
    struct Snapshot {
        BlobState state;
        FileMetadata metadata{};
        std::string content;  ///< when it is small
    };

    RootIdentity require_root();
    void sort_out_moved(Noticed& noticed);
    bool looks_unmounted(const RootIdentity& root);
    void take_missing(std::vector<std::string> missing, Noticed& noticed);
    void require_same_root();
    bool is_item(const std::string& item) const;
    bool is_filtered(const std::string& item) const;
    bool is_there(const std::string& item);
    std::optional<Reading> read_directory(const std::string& item,
                                          const std::optional<Published>& published, bool whole);
    bool may_be_published(const std::string& item);
    static void require_same_content(const std::string& item, const Snapshot& snapshot,
                                     const Digest& published);
    std::optional<Snapshot> take_snapshot(const std::string& item, const std::stop_token& stop);
    std::optional<Snapshot> try_snapshot(FileReader& file, const FileStat& before,
                                         const std::stop_token& stop);
    std::optional<Reading> read_removed(const std::string& item,
                                        const std::optional<Published>& published, bool whole);
    void remember_gone(const std::string& item, const Published& published);
    void forget_gone(const std::string& item, const Published& published);
    std::optional<std::string> item_that_moved(const BlobState& state, const Digest& digest);
    void place_content(const std::string& item, const Snapshot& snapshot, const Digest& digest,
                       bool whole, v1::BlobPut& put);
    std::optional<Reading> compare(const std::string& item, const Snapshot& snapshot,
                                   const std::optional<Published>& published, bool whole);
    void remember_reading(const std::string& item);
    void forget_reading(const std::string& item);

    const StoreId store_;
    FileTree& tree_;
    FileWatch& watch_;
    const Inventory& inventory_;
    const Clock& clock_;
    const PathFilter filter_;
    const bool directories_;
    const std::string name_;  ///< of the root, for people
    std::atomic<size_t> waiting_ = 0;
    /// Items whose reading may not be recorded yet: their removal counts although the inventory
    /// does not know them.
    struct Unrecorded {
        std::set<std::string> items;
        size_t sweep_at = 10'000;
    };
    Synchronized<Unrecorded> unrecorded_;
    /// Items that are gone, and whose removal is not published yet, by inode: what appears under
    /// another name may be one of them that was moved.
    Synchronized<std::unordered_map<uint64_t, std::string>> gone_;
    Synchronized<std::optional<RootIdentity>> root_;  ///< of the last reconcile
    Synchronized<Skipped> skipped_;
    std::optional<OrderedLooks> assuming_;  ///< of assume() alone
    Synchronized<std::string> hidden_;      ///< why a part could not be listed
};

}  // namespace antipode::primary
