#pragma once

#include <string>
#include <vector>

namespace antipode::primary {

/// Which paths below a blob root are no items: our own directory, and what the operator's
/// fnmatch(3) patterns match. A '*' matches '/' too, so "*.tmp" holds everywhere and "cache/*"
/// for everything below cache. A directory that matches is not entered.
class PathFilter {
  public:
    explicit PathFilter(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}
    bool excludes(const std::string& path) const;

  private:
    std::vector<std::string> patterns_;
};

}  // namespace antipode::primary
