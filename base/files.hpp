#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.hpp"
#include "base/seams/files.hpp"

/// What can be said and done about any tree of files.
namespace antipode {

/// The directory that Antipode keeps in a store's root: pulled content, temporary files. Never an
/// item.
inline constexpr std::string_view private_directory = ".antipode";

/// Whether `path` is in private_directory, or is it.
bool is_private(std::string_view path);

/// nullopt: it is a relative path without empty components, "." or "..", and without NUL, that a
/// file system can hold: components up to 255 bytes, limits::item_name_bytes in all. Every other
/// byte is legal. Otherwise the reason, for people.
std::optional<std::string> why_no_path(std::string_view path);

/// Where directories are items of their own, theirs is the path with a '/' at its end. No file's
/// path ends so.
inline bool names_directory(std::string_view item) {
    return item.ends_with('/');
}
/// The path of an item, file or directory.
inline std::string path_of(const std::string& item) {
    return names_directory(item) ? item.substr(0, item.size() - 1) : item;
}

/// "" for a name in the root.
std::string parent_of(const std::string& path);

/// Makes a directory and those above it. The directories whose names lists changed, to be synced
/// when the new ones are to last, are added to `changed`. nullopt when it is there; otherwise what
/// stands in its way (no directory), or "" when the root is missing.
std::optional<std::string> make_directories(FileTree& tree, const std::string& path,
                                            std::set<std::string>& changed);

/// The content from `offset` on, in chunks.
void for_each_chunk(FileReader& file, uint64_t offset,
                    const std::function<bool(std::string_view chunk)>& use);

bool is_all_zeros(std::string_view bytes);

/// A file's content and size, read to its end.
struct HashedFile {
    Sha256 hash{};
    uint64_t size = 0;
};
HashedFile hash_file(FileReader& file, const std::stop_token& stop);

}  // namespace antipode
