#include "adapters/s3/notifications.hpp"

#include <utility>

#include <nlohmann/json.hpp>

#include "adapters/s3/answers.hpp"
#include "base/error.hpp"

namespace antipode::s3 {
namespace {

/// Beyond it a comparison of everything costs less.
constexpr size_t most_paths = 100'000;

}  // namespace

std::vector<std::string> changed_paths(const std::string& json, const std::string& bucket,
                                       const std::string& prefix) {
    const Error malformed(Reaction::Stop, "this is no notification of S3 events",
                          "send what MinIO's webhook sends: JSON with \"Records\"");
    std::vector<std::string> paths;
    try {
        const nlohmann::json records = nlohmann::json::parse(json).at("Records");
        if (!records.is_array()) {
            throw Error(malformed);
        }
        for (const nlohmann::json& record : records) {
            const nlohmann::json& s3 = record.at("s3");
            const auto key = percent_decode(s3.at("object").at("key").get<std::string>());
            if (!key) {
                throw Error(malformed);
            }
            const bool ours = s3.at("bucket").at("name").get<std::string>() == bucket &&
                              key->starts_with(prefix) && key->size() > prefix.size();
            if (ours) {
                paths.push_back(key->substr(prefix.size()));
            }
        }
    } catch (const nlohmann::json::exception&) {
        throw Error(malformed);
    }
    return paths;
}

void Notifications::add(const std::vector<std::string>& paths) {
    const std::scoped_lock lock(mutex_);
    for (const std::string& path : paths) {
        if (paths_.size() >= most_paths) {
            complete_ = false;
        } else if (!excluded_(path)) {
            paths_.insert(path);
        }
    }
    is_new_ = true;
    news_.notify_all();
}

void Notifications::exclude(std::function<bool(const std::string& path)> excluded) {
    const std::scoped_lock lock(mutex_);
    excluded_ = std::move(excluded);
}

FileWatch::Changes Notifications::drain() {
    const std::scoped_lock lock(mutex_);
    Changes changes;
    changes.files.assign(paths_.begin(), paths_.end());
    changes.complete = std::exchange(complete_, true);
    paths_.clear();
    return changes;
}

bool Notifications::wait(std::chrono::milliseconds timeout, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    news_.wait_for(lock, stop, timeout, [&] { return is_new_; });
    return std::exchange(is_new_, false) && !stop.stop_requested();
}

std::string Notifications::problem() const {
    return "a bucket's notifications may be late or missing: only comparing it (every "
           "tuning.reconcile_interval) proves that everything is captured";
}

}  // namespace antipode::s3
