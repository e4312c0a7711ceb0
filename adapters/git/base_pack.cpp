#include "adapters/git/base_pack.hpp"

#include <algorithm>
#include <cctype>

#include "base/limits.hpp"

namespace antipode::git {
namespace {

namespace fs = std::filesystem;

/// Directories of loose objects are named by the first byte of their ids.
bool is_loose_directory(const fs::path& path) {
    const std::string name = path.filename().string();
    std::error_code ignored;
    return name.size() == 2 &&
           std::all_of(name.begin(), name.end(), [](unsigned char c) { return isxdigit(c); }) &&
           !fs::is_empty(path, ignored);
}

bool has_objects_beside_packs(const fs::path& objects) {
    std::error_code error;
    const fs::directory_iterator entries(objects, error);
    return error || fs::exists(objects / "info/alternates", error) ||
           std::any_of(begin(entries), end(entries),
                       [](const auto& entry) { return is_loose_directory(entry.path()); });
}

bool has(fs::path pack, const char* extension) {
    std::error_code ignored;
    return fs::exists(pack.replace_extension(extension), ignored);
}

}  // namespace

std::optional<BasePack> find_base(const fs::path& git_dir) {
    const fs::path objects = git_dir / "objects";
    // In this order: git packs loose objects first and deletes them then.
    const bool has_others = has_objects_beside_packs(objects);
    BasePack base;
    uint64_t largest = 0;
    uint64_t sum = 0;
    size_t packs = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(objects / "pack", error)) {
        const fs::path& path = entry.path();
        if (path.extension() == ".promisor") {
            return std::nullopt;
        }
        if (path.extension() != ".pack" || !has(path, ".idx")) {
            continue;
        }
        ++packs;
        // A cruft pack (gitformat-pack(5)) has what nothing leads to.
        if (has(path, ".mtimes") || !fs::is_regular_file(entry.symlink_status(error))) {
            continue;
        }
        const uint64_t bytes = fs::file_size(path, error);
        if (error) {
            return std::nullopt;  // git takes it away just now
        }
        sum += bytes;
        if (bytes > largest) {
            largest = bytes;
            base.file = path;
        }
    }
    if (error || largest <= limits::inline_content_bytes || 2 * largest < sum) {
        return std::nullopt;
    }
    base.is_all = packs == 1 && !has_others;
    return base;
}

}  // namespace antipode::git
