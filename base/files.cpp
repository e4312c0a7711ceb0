#include "base/files.hpp"

#include <memory>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode {
namespace {

constexpr size_t component_bytes = 255;  // NAME_MAX
constexpr size_t chunk_bytes = 256 * limits::kib;

}  // namespace

bool is_private(std::string_view path) {
    return path == private_directory || (path.starts_with(private_directory) &&
                                         path.substr(private_directory.size()).starts_with('/'));
}

std::optional<std::string> why_no_path(std::string_view path) {
    if (path.empty()) {
        return "it is empty";
    }
    // PATH_MAX counts the NUL at the end.
    if (path.size() >= limits::item_name_bytes) {
        return "it is longer than " + std::to_string(limits::item_name_bytes - 1) + " bytes";
    }
    if (path.find('\0') != std::string_view::npos) {
        return "it holds a NUL";
    }
    if (path.starts_with('/')) {
        return "it is absolute";
    }
    while (true) {
        const size_t end = path.find('/');
        const std::string_view component = path.substr(0, end);
        if (component.empty()) {
            return "it has an empty component";
        }
        if (component == "." || component == "..") {
            return "it has a component \"" + std::string(component) + "\"";
        }
        if (component.size() > component_bytes) {
            return "a component is longer than " + std::to_string(component_bytes) + " bytes";
        }
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        path.remove_prefix(end + 1);
    }
}

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::optional<std::string> make_directories(FileTree& tree, const std::string& path,
                                            std::set<std::string>& changed) {
    const auto there = tree.stat(path);
    if (there) {
        return there->type == FileType::Directory ? std::nullopt : std::optional(path);
    }
    if (path.empty()) {
        return "";
    }
    const std::string parent = parent_of(path);
    if (auto obstacle = make_directories(tree, parent, changed)) {
        return obstacle;
    }
    if (tree.make_directory(path)) {
        changed.insert(parent);
        return std::nullopt;
    }
    // Another thread made it, or took its parent away again.
    const auto now = tree.stat(path);
    if (!now) {
        throw Error(Reaction::Retry, "making directory " + printable(path) +
                                         ": its parent was removed at the same time");
    }
    changed.insert(parent);
    return now->type == FileType::Directory ? std::nullopt : std::optional(path);
}

void for_each_chunk(FileReader& file, uint64_t offset,
                    const std::function<bool(std::string_view chunk)>& use) {
    // Not filled with zeros first: most files are smaller.
    const auto buffer = std::make_unique_for_overwrite<char[]>(chunk_bytes);
    while (const size_t count = file.read_at(offset, {buffer.get(), chunk_bytes})) {
        if (!use(std::string_view(buffer.get(), count))) {
            return;
        }
        offset += count;
    }
}

bool is_all_zeros(std::string_view bytes) {
    // Equal to itself moved by one: all bytes are as the first. memcmp is fast.
    return bytes.empty() ||
           (bytes.front() == '\0' && bytes.substr(1) == bytes.substr(0, bytes.size() - 1));
}

HashedFile hash_file(FileReader& file, const std::stop_token& stop) {
    Sha256Stream stream;
    HashedFile result;
    for_each_chunk(file, 0, [&](std::string_view chunk) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        stream.update(chunk);
        result.size += chunk.size();
        return true;
    });
    result.hash = stream.finish();
    return result;
}

}  // namespace antipode
