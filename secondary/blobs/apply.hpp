#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/seams/files.hpp"
#include "secondary/apply.hpp"
#include "secondary/blobs/batch.hpp"
#include "secondary/blobs/deleted.hpp"
#include "secondary/look.hpp"

namespace antipode::secondary {

/// Applies files below a root. A file is written to `.antipode/staging`, checked, synced and moved
/// into place, so that readers see the old or the new one, whole; permission bits (not set-user-id
/// and the like) and modification time are the primary's. Directories are made for files and go
/// with their last one, or are items of their own (names_directory), with the primary's permission
/// bits; nothing but a captured removal deletes a file, except one that stands where the primary
/// has a directory. Symbolic links are replaced or reported, never followed.
///
/// A batch costs a few syncs, not some for each file. Thread-safe; see ItemApply.
class BlobApply final : public ItemApply, public ItemLook {
  public:
    /// `tree` and `deleted` must outlive the object. At most one object for a root at a time.
    /// `deleted` (may be null): where deleted files are kept. `directories`: they are items.
    BlobApply(StoreId store, FileTree& tree, DeletedFiles* deleted = nullptr,
              bool directories = false);

    const StoreId& store() const override { return store_; }
    std::filesystem::path incoming_directory() const override;
    std::vector<Result> apply(std::span<const ItemTask> tasks,
                              const std::stop_token& stop) override;

    Look look(const std::string& item, const Pace& pace, const std::stop_token& stop) override;
    void for_each(const std::function<bool(const std::string& name)>& use,
                  const std::stop_token& stop) override;

    /// incoming_directory() below the root: what ContentStore is to be given.
    static std::string incoming_name();

  private:
    void prepare();

    const StoreId store_;
    FileTree& tree_;
    DeletedFiles* const deleted_;
    const bool directories_;
    std::shared_timed_mutex batches_;  ///< of those that run; alone is who waits for all others
    MadeForFiles made_for_files_;
    std::mutex mutex_;
    bool prepared_ = false;  ///< under mutex_
    std::atomic<uint64_t> staged_ = 0;
};

}  // namespace antipode::secondary
