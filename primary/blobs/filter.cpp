#include "primary/blobs/filter.hpp"

#include <algorithm>

#include <fnmatch.h>

#include "base/files.hpp"

namespace antipode::primary {
namespace {

bool matches_any(const std::vector<std::string>& patterns, const std::string& path) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
    });
}

}  // namespace

bool PathFilter::excludes(const std::string& path) const {
    return is_private(path) || matches_any(exclude_, path);
}

bool PathFilter::includes(const std::string& path) const {
    return !excludes(path) && (include_.empty() || matches_any(include_, path));
}

}  // namespace antipode::primary
