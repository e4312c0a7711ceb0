#pragma once

#include "base/file_owner.hpp"
#include "base/seams/files.hpp"

namespace antipode::files {

/// A tree in a POSIX file system. Every path is resolved by openat2(2) beneath the root and without
/// symbolic links; the root itself may be reached through one. The root is opened anew by every
/// call, so that a file system mounted or unmounted there is seen, and not held. Stateless, hence
/// thread-safe. With an owner, every file and directory that is made becomes that owner's before
/// anything is written to it.
class PosixTree final : public FileTree {
  public:
    explicit PosixTree(std::filesystem::path root, std::optional<FileOwner> owner = {})
        : root_(std::move(root)), owner_(owner) {}

    const std::filesystem::path& root() const override { return root_; }
    std::optional<FileStat> stat(const std::string& path) override;
    std::optional<std::vector<Entry>> list(const std::string& directory) override;
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
    std::unique_ptr<FileBarrier> barrier() override;

  private:
    std::unique_ptr<FileWriter> open_to_write(const std::string& path, int flags);
    void give(int descriptor, const std::string& name) const;

    const std::filesystem::path root_;
    const std::optional<FileOwner> owner_;
};

/// Why this process cannot give files to `owner` and set their modes then; nullopt: it can. Tried
/// with a file in memory.
std::optional<std::string> why_not_given(const FileOwner& owner);

}  // namespace antipode::files
