#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/seams/files.hpp"
#include "primary/blobs/filter.hpp"

namespace antipode::primary {

/// What is in a root but no item.
struct Skipped {
    uint64_t symbolic_links = 0;
    uint64_t special_files = 0;  ///< devices, sockets, pipes
    uint64_t unusable_names = 0;
    std::vector<std::string> examples;  ///< a few paths

    uint64_t count() const { return symbolic_links + special_files + unusable_names; }
};

/// Goes through a tree's regular files, and where they are asked for its directories, in the order
/// of their items' bytes, as the inventory does. Holds one listing per level in memory, none of a
/// tree that lists all files at once. One thread.
class TreeWalk {
  public:
    /// `enter` is called with each directory right before it is listed; in a tree that lists all
    /// files at once, with that of each file.
    TreeWalk(FileTree& tree, const PathFilter& filter,
             std::function<void(const std::string& directory)> enter, bool directories = false);

    struct Item {
        std::string path;  ///< of a directory with a '/' at its end
        FileStat stat;
    };
    /// nullopt at the end. Throws Error{Retry} when a listing of all files breaks.
    std::optional<Item> next();

    const Skipped& skipped() const { return skipped_; }
    /// Whether `path` is in a directory that could not be listed: nothing is known of it.
    bool is_hidden(const std::string& path) const;
    /// Why the first such directory could not be listed; empty: all could.
    const std::string& problem() const { return problem_; }

  private:
    struct Level {
        std::string directory;
        std::vector<FileTree::Entry> entries;  ///< the next one is the last
    };
    std::optional<Item> next_of_all();
    void open_directory(const std::string& directory);
    void skip(const std::string& path, uint64_t Skipped::*kind);

    FileTree& tree_;
    const PathFilter& filter_;
    std::function<void(const std::string& directory)> enter_;
    const bool directories_;
    std::unique_ptr<FileListing> all_;  ///< instead of levels
    std::vector<Level> levels_;
    Skipped skipped_;
    std::vector<std::string> hidden_;
    std::string problem_;
};

/// Looks at files of a tree that lists all at once, by one listing. One thread.
class OrderedLooks {
  public:
    explicit OrderedLooks(FileTree& tree) : tree_(tree) {}

    /// nullopt: there is no such regular file. Asked for in the order of the paths' bytes; another
    /// order is right, too, and costs a new listing.
    std::optional<FileStat> stat(const std::string& path);

  private:
    FileTree& tree_;
    std::unique_ptr<FileListing> files_;
    std::optional<FileListing::Entry> next_;
    std::string asked_;
};

}  // namespace antipode::primary
