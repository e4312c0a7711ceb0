#include "secondary/blobs/places.hpp"

#include "base/files.hpp"
#include "base/limits.hpp"

namespace antipode::secondary {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::seconds second_name_goes(10);

}  // namespace

BlobPlaces::BlobPlaces(FileTree& tree, bool directories,
                       std::function<bool(const std::string& item)> excluded)
    : tree_(tree), directories_(directories), excluded_(std::move(excluded)) {}

bool BlobPlaces::excludes(const std::string& path) {
    return is_private(path);
}

std::optional<std::string> BlobPlaces::item_of(const std::string& path, bool is_directory) {
    if (is_directory && !directories_) {
        return std::nullopt;
    }
    std::string item = is_directory ? path + '/' : path;
    return excluded_(item) ? std::nullopt : std::optional(std::move(item));
}

bool BlobPlaces::is_here(const std::string& item) {
    const auto stat = tree_.stat(path_of(item));
    return stat && (stat->type == FileType::Directory) == names_directory(item);
}

bool BlobPlaces::may_differ(const Touched& touched) {
    const auto stat = tree_.stat(path_of(touched.item));
    if (!stat || (stat->type == FileType::Directory) != names_directory(touched.item)) {
        return true;
    }
    if (stat->type == FileType::Directory) {
        // Its inode changes with each file in it.
        return verify::attributes_of_directory(stat->mode).contradict(touched.state.attributes);
    }
    // Pulled content has a second name, which goes soon after it was applied; that is no change.
    const bool only_a_name = stat->size > limits::inline_content_bytes &&
                             touched.state.attributes.mtime_s &&
                             !verify::attributes_of_file({stat->mode, stat->mtime_ns})
                                  .contradict(touched.state.attributes);
    return stat->type != FileType::Regular ||
           change_time(*stat) > touched.applied + (only_a_name ? second_name_goes : 0s);
}

}  // namespace antipode::secondary
