#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/seams/files.hpp"
#include "secondary/mirror_watch.hpp"

namespace antipode::secondary {

/// Files are items by their paths, and directories where they are asked for. A file is as this site
/// left it while its inode has not changed since that was recorded (ctime).
class BlobPlaces final : public MirrorPlaces {
  public:
    /// `excluded`: an item is not replicated, whatever it is. `tree` must outlive the object.
    BlobPlaces(FileTree& tree, bool directories,
               std::function<bool(const std::string& item)> excluded);

    bool excludes(const std::string& path) override;
    std::optional<std::string> item_of(const std::string& path, bool is_directory) override;
    bool is_here(const std::string& item) override;
    bool may_differ(const Touched& touched) override;

  private:
    FileTree& tree_;
    const bool directories_;
    const std::function<bool(const std::string& item)> excluded_;
};

}  // namespace antipode::secondary
