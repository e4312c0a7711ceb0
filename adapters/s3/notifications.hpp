#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/seams/files.hpp"

namespace antipode::s3 {

/// The paths below `prefix` that S3 event notifications for `bucket` name: {"Records": [{"s3":
/// {"bucket": {"name": ...}, "object": {"key": ...}}}]}, as MinIO's webhook and Ceph's HTTP push
/// endpoint send them. Others are passed over. Throws Error{Stop} when `json` is no such thing.
std::vector<std::string> changed_paths(const std::string& json, const std::string& bucket,
                                       const std::string& prefix);

/// Hands on what a bucket's server tells of changes. It may tell late, or never (it was away, or
/// this site was), so a notification only makes things faster: problem() always says so. Thread-
/// safe.
class Notifications final : public FileWatch {
  public:
    void add(const std::vector<std::string>& paths);

    void exclude(std::function<bool(const std::string& path)> excluded) override;
    void cover(const std::string&) override {}
    Changes drain() override;
    bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    std::string problem() const override;

  private:
    std::mutex mutex_;  ///< of what follows
    std::condition_variable_any news_;
    std::function<bool(const std::string&)> excluded_ = [](const std::string&) { return false; };
    std::set<std::string> paths_;
    bool complete_ = true;
    bool is_new_ = false;  ///< since the last wait
};

}  // namespace antipode::s3
