#pragma once

#include <chrono>
#include <set>
#include <stop_token>
#include <string>

#include "base/clock.hpp"
#include "base/seams/files.hpp"

namespace antipode::secondary {

/// Files that were deleted on the primary and are kept here for a while, where an operator finds
/// them: `.antipode/deleted/2026-11-27T07:40Z/<path>`, by the minute (UTC) in which this site
/// deleted them. Thread-safe; throws Error{Retry} like its tree.
class DeletedFiles {
  public:
    /// The references must outlive the object.
    DeletedFiles(FileTree& tree, const Clock& clock, std::chrono::milliseconds keep)
        : tree_(tree), clock_(clock), keep_(keep) {}

    /// Moves a file there. The directories whose names changed are added to `changed`, to be
    /// synced. False: it is not there any more.
    bool take(const std::string& path, std::set<std::string>& changed);
    /// Deletes what was kept long enough.
    void forget_old(const std::stop_token& stop);

  private:
    std::string free_name(const std::string& name);

    FileTree& tree_;
    const Clock& clock_;
    const std::chrono::milliseconds keep_;
};

}  // namespace antipode::secondary
