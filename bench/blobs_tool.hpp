#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {

/// Something that keeps one directory equal to another on this machine.
class BlobsTool {
  public:
    virtual ~BlobsTool() = default;
    virtual std::string name() const = 0;
    std::filesystem::path source() const { return directory_ / "source"; }
    std::filesystem::path mirror() const { return directory_ / "mirror"; }

    /// Brings the source as it is now to the mirror, from nothing; returns when the `files` files
    /// are there.
    virtual void copy(size_t files) = 0;
    /// Follows changes from now on.
    virtual void follow() = 0;
    /// Waits until the mirror's `files` files are as durable as they will be. What is visible on
    /// the mirror is all that the others can say.
    virtual void settle(size_t files);

    struct Running {
        std::string name;
        pid_t pid;
        bool broker = false;
    };
    /// While it follows.
    virtual std::vector<Running> processes() const = 0;

  protected:
    BlobsTool();
    const test::TemporaryDirectory directory_;
};

/// Of: rsync, rclone, lsyncd, antipode.
std::unique_ptr<BlobsTool> make_blobs_tool(const std::string& name);

/// Antipode, for what only it can do.
class AntipodeTool : public BlobsTool {
  public:
    /// Ends both daemons and starts them again; returns when the first comparison of everything
    /// has ended.
    virtual void restart() = 0;
};
std::unique_ptr<AntipodeTool> make_antipode_tool();

/// Seconds of CPU that a process and its ended children have used.
double cpu_seconds(pid_t process);
/// Memory (resident) now, and the most that it was.
double resident_mib(pid_t process);
double peak_mib(pid_t process);

}  // namespace antipode::bench
