#include "primary/blobs/walk.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/files.hpp"

namespace antipode::primary {
namespace {

constexpr size_t most_examples = 5;

/// What stands in the paths at the place of this entry: "a-b" comes before "a/b".
std::string order_key(const FileTree::Entry& entry) {
    return entry.stat.type == FileType::Directory ? entry.name + '/' : entry.name;
}

}  // namespace

TreeWalk::TreeWalk(FileTree& tree, const PathFilter& filter,
                   std::function<void(const std::string& directory)> enter, bool directories)
    : tree_(tree),
      filter_(filter),
      enter_(std::move(enter)),
      directories_(directories),
      all_(tree.list_all()) {
    if (!all_) {
        open_directory("");
    }
}

void TreeWalk::open_directory(const std::string& directory) {
    enter_(directory);
    Level level{directory, {}};
    try {
        level.entries = tree_.list(directory).value_or(std::vector<FileTree::Entry>());
    } catch (const Error& error) {
        hidden_.push_back(directory);
        if (problem_.empty()) {
            problem_ = error.describe();
        }
    }
    std::sort(level.entries.begin(), level.entries.end(),
              [](const FileTree::Entry& left, const FileTree::Entry& right) {
                  return order_key(left) > order_key(right);
              });
    levels_.push_back(std::move(level));
}

std::optional<TreeWalk::Item> TreeWalk::next_of_all() {
    while (auto entry = all_->next()) {
        enter_(parent_of(entry->path));
        if (!filter_.includes(entry->path)) {
            continue;
        }
        if (why_no_path(entry->path)) {
            skip(entry->path, &Skipped::unusable_names);
            continue;
        }
        return Item{std::move(entry->path), entry->stat};
    }
    return std::nullopt;
}

std::optional<TreeWalk::Item> TreeWalk::next() {
    if (all_) {
        return next_of_all();
    }
    while (!levels_.empty()) {
        Level& level = levels_.back();
        if (level.entries.empty()) {
            levels_.pop_back();
            continue;
        }
        const FileTree::Entry entry = std::move(level.entries.back());
        level.entries.pop_back();
        const std::string path =
            level.directory.empty() ? entry.name : level.directory + "/" + entry.name;
        if (filter_.excludes(path)) {
            continue;
        }
        if (why_no_path(path)) {
            skip(path, &Skipped::unusable_names);
            continue;
        }
        switch (entry.stat.type) {
            case FileType::Regular:
                if (filter_.includes(path)) {
                    return Item{path, entry.stat};
                }
                break;
            case FileType::Directory:
                open_directory(path);
                if (directories_) {
                    return Item{path + '/', entry.stat};
                }
                break;
            case FileType::SymbolicLink:
                skip(path, &Skipped::symbolic_links);
                break;
            case FileType::Other:
                skip(path, &Skipped::special_files);
                break;
        }
    }
    return std::nullopt;
}

void TreeWalk::skip(const std::string& path, uint64_t Skipped::*kind) {
    ++(skipped_.*kind);
    if (skipped_.examples.size() < most_examples) {
        skipped_.examples.push_back(path);
    }
}

bool TreeWalk::is_hidden(const std::string& path) const {
    return std::any_of(hidden_.begin(), hidden_.end(), [&](const std::string& directory) {
        return directory.empty() || path.starts_with(directory + "/");
    });
}

std::optional<FileStat> OrderedLooks::stat(const std::string& path) {
    if (!files_ || path < asked_) {
        files_ = tree_.list_all();
        next_ = files_->next();
    }
    asked_ = path;
    while (next_ && next_->path < path) {
        next_ = files_->next();
    }
    return next_ && next_->path == path ? std::optional(next_->stat) : std::nullopt;
}

}  // namespace antipode::primary
