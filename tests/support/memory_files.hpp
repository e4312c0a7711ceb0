#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/clock.hpp"
#include "base/seams/files.hpp"

namespace antipode::test {

class MemoryWatch;

/// A tree in memory that forgets in a power cut what was not synced: content that its file's sync
/// or a barrier did not cover, names that their directory's sync or a barrier did not cover. A name
/// that lasted without its content leads to an empty file. Thread-safe.
class MemoryTree final : public FileTree {
  public:
    explicit MemoryTree(const Clock& clock, std::filesystem::path root = "/memory");
    ~MemoryTree() override;

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
    bool clone(const std::string&, const std::string&) override { return false; }
    bool remove(const std::string& path) override;
    bool remove_directory(const std::string& path) override;
    void sync_directory(const std::string& path) override;
    std::unique_ptr<FileBarrier> barrier() override;

    /// As an application does: makes the directories, too.
    void put(const std::string& path, const std::string& bytes);
    /// As rm -r and mv do with a directory; `to` must not be there, its directory must.
    void remove_all(const std::string& directory);
    void move_all(const std::string& directory, const std::string& to);
    /// Every regular file's path and content.
    std::map<std::string, std::string> contents() const;

    void power_cut();
    /// An unmounted root is missing.
    void set_mounted(bool mounted);
    /// Called before every change and every sync with what is about to happen ("write", "sync",
    /// "rename", ...) and to which path; what it throws is thrown by the operation, which then does
    /// not happen. Called under the tree's lock.
    void set_fault(
        std::function<void(const std::string& operation, const std::string& path)> fault);

  private:
    friend class MemoryWatch;
    class Reader;
    class Writer;
    class Barrier;
    struct Node;
    using NodePointer = std::shared_ptr<Node>;
    using Names = std::map<std::string, NodePointer>;

    Node* directory_at(const std::string& path) const;
    NodePointer file_at(const std::string& path) const;
    NodePointer new_node(FileType type, uint32_t mode);
    std::unique_ptr<FileWriter> open_writer(const std::string& path, bool truncate);
    void about_to(const std::string& operation, const std::string& path) const;
    void touch(Node& node) const;
    void changed(const std::string& path);
    void gone(const std::string& directory);

    const Clock& clock_;
    const std::filesystem::path root_;
    mutable std::mutex mutex_;  ///< of everything below, and of the nodes
    Names live_;                ///< by path; "" is the root
    Names durable_;
    bool mounted_ = true;
    uint64_t last_inode_ = 1;
    std::function<void(const std::string&, const std::string&)> fault_;
    std::set<MemoryWatch*> watches_;
};

/// Notices every change to a MemoryTree's files, and directories that go away; they need no cover.
class MemoryWatch final : public FileWatch {
  public:
    /// `tree` must outlive the object.
    explicit MemoryWatch(MemoryTree& tree);
    ~MemoryWatch() override;

    void exclude(std::function<bool(const std::string& path)> excluded) override;
    void cover(const std::string&) override {}
    Changes drain() override;
    bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    std::string problem() const override { return {}; }

    /// As an overflow does.
    void lose_everything();

  private:
    friend class MemoryTree;
    MemoryTree& tree_;
    std::function<bool(const std::string&)> excluded_;  ///< what follows: under the tree's lock
    std::set<std::string> files_;
    std::set<std::string> gone_directories_;
    bool complete_ = true;
};

}  // namespace antipode::test
