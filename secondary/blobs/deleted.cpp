#include "secondary/blobs/deleted.hpp"

#include "base/error.hpp"
#include "base/files.hpp"

namespace antipode::secondary {
namespace {

constexpr std::string_view example = "2026-11-27T07:40Z";
/// The same name may be deleted more than once in a minute.
constexpr int most_of_one_name = 100;

std::string directory_name() {
    return std::string(private_directory) + "/deleted";
}

/// Sorts like the time.
std::string minute_of(TimePoint time) {
    return to_iso8601(time).substr(0, example.size() - 1) + "Z";
}

bool is_minute(const std::string& name) {
    return name.size() == example.size() && name.back() == 'Z' && name[10] == 'T';
}

void remove_tree(FileTree& tree, const std::string& directory, const std::stop_token& stop) {
    for (const FileTree::Entry& entry :
         tree.list(directory).value_or(std::vector<FileTree::Entry>())) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const std::string path = directory + "/" + entry.name;
        if (entry.stat.type == FileType::Directory) {
            remove_tree(tree, path, stop);
        } else {
            tree.remove(path);
        }
    }
    tree.remove_directory(directory);
}

}  // namespace

bool DeletedFiles::take(const std::string& path, std::set<std::string>& changed) {
    const std::string place = directory_name() + "/" + minute_of(clock_.now()) + "/" + path;
    if (const auto obstacle = make_directories(tree_, parent_of(place), changed)) {
        // A file and a directory had this name in one minute.
        tree_.rename(*obstacle, free_name(*obstacle));
        changed.insert(parent_of(*obstacle));
        make_directories(tree_, parent_of(place), changed);
    }
    const std::string target = free_name(place);
    switch (tree_.rename(path, target)) {
        case FileTree::Placed::Yes:
            changed.insert(parent_of(target));
            return true;
        case FileTree::Placed::SourceMissing:
            return false;
        case FileTree::Placed::DirectoryMissing:
        case FileTree::Placed::DirectoryThere:
            break;
    }
    throw Error(Reaction::Retry,
                "a deleted file cannot be kept as " + printable((tree_.root() / target).native()),
                "move what is there away");
}

/// The name, or the first with a number behind it that nothing has.
std::string DeletedFiles::free_name(const std::string& name) {
    std::string target = name;
    for (int i = 1; tree_.stat(target); ++i) {
        if (i > most_of_one_name) {
            throw Error(
                Reaction::Retry,
                "too many deleted files are kept as " + printable((tree_.root() / name).native()),
                "move them away, or wait a minute");
        }
        target = name + "." + std::to_string(i);
    }
    return target;
}

void DeletedFiles::forget_old(const std::stop_token& stop) {
    const std::string oldest = minute_of(clock_.now() - keep_);
    for (const FileTree::Entry& entry :
         tree_.list(directory_name()).value_or(std::vector<FileTree::Entry>())) {
        if (is_minute(entry.name) && entry.name < oldest) {
            remove_tree(tree_, directory_name() + "/" + entry.name, stop);
        }
    }
}

}  // namespace antipode::secondary
