#pragma once

#include <filesystem>
#include <memory>

#include "base/clock.hpp"
#include "base/seams/files.hpp"

namespace antipode::files {

/// Notices changes with inotify(7). What it cannot notice, and a reconcile finds: a file written
/// through another hard link in a directory of its own, writes through a shared memory mapping,
/// changes made by another machine on a network file system.
///
/// A directory is watched before it is listed, so nothing falls between. When the kernel's queue
/// overflows, or the root itself is moved, removed or unmounted, drain() says that events are lost.
class InotifyWatch final : public FileWatch {
  public:
    /// Throws Error{Retry} with the remedy when the kernel gives no inotify instance.
    InotifyWatch(const std::filesystem::path& root, const Clock& clock);
    ~InotifyWatch() override;

    void exclude(std::function<bool(const std::string& path)> excluded) override;
    void cover(const std::string& directory) override;
    Changes drain() override;
    bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    std::string problem() const override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::files
