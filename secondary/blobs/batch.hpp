#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/seams/files.hpp"
#include "base/synchronized.hpp"
#include "secondary/apply.hpp"
#include "secondary/blobs/deleted.hpp"

namespace antipode::secondary {

/// A file in the staging directory, removed by the destructor unless it was moved away.
class StagedFile {
  public:
    StagedFile(FileTree& tree, std::string name) : tree_(&tree), name_(std::move(name)) {}
    StagedFile(StagedFile&& other) noexcept
        : tree_(std::exchange(other.tree_, nullptr)), name_(std::move(other.name_)) {}
    StagedFile& operator=(StagedFile&&) = delete;
    ~StagedFile();
    const std::string& name() const { return name_; }
    void moved_away() { tree_ = nullptr; }

  private:
    FileTree* tree_;
    std::string name_;
};

/// Where directories are items of their own: those that were made for a file while theirs is not
/// here. They go with their last file unless it comes.
using MadeForFiles = Synchronized<std::set<std::string>>;

/// One call of BlobApply::apply, in three steps: stage all contents, make them durable, move them
/// into place and make that durable. One thread.
class BlobBatch {
  public:
    /// Staged files are named `staging`/<number>. `made_for_files`: null where directories are no
    /// items.
    BlobBatch(FileTree& tree, std::string staging, std::atomic<uint64_t>& numbers,
              DeletedFiles* deleted, MadeForFiles* made_for_files, size_t tasks,
              std::stop_token stop);
    BlobBatch(const BlobBatch&) = delete;
    BlobBatch& operator=(const BlobBatch&) = delete;

    void stage(const ItemTask& task);
    void finish();
    /// Directories are to be removed and were not empty: what is in them may go at any time.
    bool has_full_directories() const { return !full_directories_.empty(); }
    /// Tries these again.
    void finish_directories();
    /// In the order of stage().
    std::vector<Result> take_results() { return std::move(results_); }

  private:
    struct Staged {
        size_t result = 0;
        StagedFile file;
        std::string target;
    };
    struct Removal {
        size_t result = 0;
        std::string target;
    };
    struct Directory {
        size_t result = 0;
        std::string path;
        uint32_t mode = 0;
    };

    Result stage_put(size_t result, const v1::BlobPut& put, const ItemTask& task);
    std::optional<Result> keep_if_equal(const v1::BlobPut& put, const Sha256& hash);
    std::optional<Result> stage_inline(const v1::BlobPut& put, const Sha256& hash,
                                       const std::string& file);
    void stage_bytes(const v1::BlobPut& put, const std::string& bytes, const std::string& file);
    std::optional<Result> stage_copy(const v1::BlobPut& put, const Sha256& hash,
                                     const std::string& file);
    std::optional<Result> stage_pulled(const v1::BlobPut& put, const Sha256& hash,
                                       const ItemTask& task, const std::string& file);
    bool finish_if_right(const v1::BlobPut& put, const Sha256& hash, const std::string& file);
    bool finish_staged(const v1::BlobPut& put, const std::string& file);
    bool copy(FileReader& from, const v1::BlobPut& put, const Sha256& hash,
              const std::string& file);
    void finish_file(FileWriter& file, const v1::BlobPut& put);

    void remove(const Removal& removal);
    void remove_directory(const Removal& removal);
    void make(const Directory& directory);
    void set_mode(const Directory& directory);
    void remove_emptied(std::string directory);
    void not_for_files(const std::string& directory);
    void move_into_place();
    void fail_applied(const Error& error);
    void place(Staged& staged);
    bool remove_file(const std::string& path);
    std::optional<Result> make_room(const std::string& target, FileTree::Placed obstacle);
    bool remove_empty_directories(const std::string& directory);
    std::optional<std::string> make_parents(const std::string& path);
    void make_names_durable();

    /// Runs `body`; an Error becomes the result.
    template <typename Body>
    void guarded(size_t result, Body&& body);

    FileTree& tree_;
    const std::string staging_;
    std::atomic<uint64_t>& numbers_;
    DeletedFiles* const deleted_;
    MadeForFiles* const made_for_files_;
    std::stop_token stop_;
    std::unique_ptr<FileBarrier> barrier_;  ///< of a large batch; small ones sync each file
    std::vector<Result> results_;
    std::vector<Staged> staged_;
    std::vector<Removal> removals_;
    std::vector<Directory> directories_;
    std::vector<Removal> directory_removals_;
    std::vector<Removal> full_directories_;
    std::set<std::string> changed_directories_;
};

}  // namespace antipode::secondary
