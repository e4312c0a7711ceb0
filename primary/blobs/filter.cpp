#include "primary/blobs/filter.hpp"

#include <algorithm>

#include <fnmatch.h>

#include "base/files.hpp"

namespace antipode::primary {

bool PathFilter::excludes(const std::string& path) const {
    return is_private(path) ||
           std::any_of(patterns_.begin(), patterns_.end(), [&](const std::string& pattern) {
               return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
           });
}

}  // namespace antipode::primary
