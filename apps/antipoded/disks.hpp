#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/config.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode {

/// The room on the file systems that this site writes to, looked at every two seconds by a worker
/// of its own: one that hangs (NFS) holds up nobody who asks. show(): any thread.
class Disks {
  public:
    explicit Disks(const Config& config);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Looks once.
    void look();
    /// "disks" of /v1/status: one row for each file system that could be looked at; `problem` says
    /// that it is full, or nearly.
    nlohmann::json show() const;

  private:
    struct Disk {
        std::string path;
        uint64_t available_bytes = 0;
        uint64_t size_bytes = 0;
        std::string problem{};
        std::string next_step{};
    };
    std::vector<std::filesystem::path> paths_;
    Synchronized<std::vector<Disk>> disks_;
};

}  // namespace antipode
