#pragma once

#include <string>
#include <vector>

namespace antipode::primary {

/// Which paths below a blob root are no items: our own directory, what the operator's fnmatch(3)
/// patterns exclude, and of files, if he says which to include, all others. A '*' matches '/' too,
/// so "*.tmp" holds everywhere and "cache/*" for everything below cache.
class PathFilter {
  public:
    PathFilter(std::vector<std::string> exclude = {}, std::vector<std::string> include = {})
        : exclude_(std::move(exclude)), include_(std::move(include)) {}
    /// Neither it nor, when it is a directory, anything in it.
    bool excludes(const std::string& path) const;
    /// A file that is replicated.
    bool includes(const std::string& path) const;

  private:
    std::vector<std::string> exclude_;
    std::vector<std::string> include_;  ///< empty: everything
};

}  // namespace antipode::primary
