#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace antipode::bench {

/// Something that keeps one directory equal to another on this machine.
class BlobsTool {
  public:
    explicit BlobsTool(std::filesystem::path directory);
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
    const std::filesystem::path directory_;
};

/// Of: rsync, rclone, lsyncd, antipode; everything is below `directory`.
std::unique_ptr<BlobsTool> make_blobs_tool(const std::string& name,
                                           const std::filesystem::path& directory);

/// Antipode, for what only it can do.
class AntipodeTool : public BlobsTool {
  public:
    using BlobsTool::BlobsTool;
    /// Ends both daemons and starts them again; returns when the first comparison of everything
    /// has ended.
    virtual void restart() = 0;
};
std::unique_ptr<AntipodeTool> make_antipode_tool(const std::filesystem::path& directory);

/// Seconds of CPU that a process and its ended children have used.
double cpu_seconds(pid_t process);
/// Of commands that have ended, a push's hooks among them.
double children_cpu_seconds();
/// Of a tool's processes so far, with what they started: its own, and its brokers'.
struct Cpu {
    double own = 0;
    double brokers = 0;
    explicit Cpu(const std::vector<BlobsTool::Running>& processes);
};
/// Memory (resident) now, and the most that it was.
double resident_mib(pid_t process);
double peak_mib(pid_t process);

}  // namespace antipode::bench
