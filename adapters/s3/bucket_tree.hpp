#pragma once

#include <mutex>
#include <string>

#include "adapters/s3/bucket.hpp"
#include "base/seams/files.hpp"

namespace antipode::s3 {

/// The objects of a bucket whose keys begin with a prefix, as a tree of files. Directories do not
/// exist; objects "a" and "a/b" can both be there. An object's stat is what a listing tells:
/// `mtime_ns` is Last-Modified in whole seconds and `inode` stands for the ETag, which is another
/// one for each other content, whatever the server makes it of; `mode` is always 0644. The mode and
/// time that a mirror was given are metadata of the object (FileReader::metadata).
///
/// Our own directory (staged files, pulled content) is none of the bucket's: it stands in `local`.
/// Moving a staged file onto a name uploads it, removes it here, and is durable.
///
/// A kill leaves no half object. An upload in parts is noted in `local` before it begins; what a
/// kill left of one is ended before the next change of the bucket. Thread-safe.
class BucketTree final : public FileTree {
  public:
    /// `local` is only this tree's. Both must outlive the object. Does not connect.
    BucketTree(Bucket bucket, std::string prefix, FileTree& local);

    /// Of the local part.
    const std::filesystem::path& root() const override { return local_.root(); }
    std::string name() const override;
    bool is_remote() const override { return true; }

    std::optional<FileStat> stat(const std::string& path) override;
    std::optional<std::vector<Entry>> list(const std::string& directory) override;
    std::unique_ptr<FileListing> list_all() override;
    std::unique_ptr<FileReader> open(const std::string& path) override;

    std::unique_ptr<FileWriter> create(const std::string& path) override;
    std::unique_ptr<FileWriter> append(const std::string& path) override;
    std::unique_ptr<FileWriter> update(const std::string& path) override;
    std::unique_ptr<FileWriter> open_for_metadata(const std::string& path) override;
    bool make_directory(const std::string& path) override;

    Placed rename(const std::string& from, const std::string& to) override;
    bool link(const std::string& from, const std::string& to) override;
    bool clone(const std::string& from, const std::string& to) override;
    bool remove(const std::string& path) override;
    bool remove_directory(const std::string& path) override;

    void sync_directory(const std::string& path) override;
    std::unique_ptr<FileBarrier> barrier() override { return local_.barrier(); }

  private:
    FileTree& local_only(const std::string& path);
    std::string key_of(const std::string& path) const { return prefix_ + path; }
    void upload(const std::string& key, FileReader& staged);
    void upload_in_parts(const std::string& key, FileReader& staged, const FileStat& stat);
    void note_upload(const std::string& note, const std::string& key);
    void forget_upload(const std::string& note);
    void end_left_uploads();

    Bucket bucket_;
    const std::string prefix_;
    FileTree& local_;
    std::mutex mutex_;
    bool ended_left_uploads_ = false;  ///< under mutex_
};

}  // namespace antipode::s3
