#include "bench/blobs_load.hpp"

#include <array>
#include <cmath>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace antipode::bench {
namespace {

constexpr size_t stamp_bytes = 16;
constexpr size_t noise_bytes = 1 << 20;

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

std::string padded(uint64_t number, size_t width) {
    std::string text = std::to_string(number);
    return std::string(width - std::min(width, text.size()), '0') + text;
}

}  // namespace

std::string BlobsLoad::directory(size_t number) {
    return "d" + padded(number, 4);
}

BlobsLoad::BlobsLoad(std::filesystem::path root, size_t directories)
    : root_(std::move(root)), directories_(directories) {
    for (size_t i = 0; i < directories_; ++i) {
        std::filesystem::create_directories(root_ / directory(i));
    }
    noise_.resize(noise_bytes);
    for (char& byte : noise_) {
        byte = static_cast<char>(random_());
    }
}

size_t BlobsLoad::some_bytes() {
    return static_cast<size_t>(1024 *
                               std::exp2(std::uniform_real_distribution<double>(0, 6)(random_)));
}

BlobsLoad::Version BlobsLoad::create(size_t bytes) {
    const std::string path =
        directory(paths_.size() % directories_) + "/f" + padded(paths_.size(), 8);
    paths_.push_back(path);
    return {path, write(path, bytes)};
}

BlobsLoad::Version BlobsLoad::replace(size_t bytes) {
    const std::string path = paths_.at(replaced_++ % paths_.size());
    const std::string temporary = path.substr(0, path.find('/')) + "/.upload";
    std::string stamp = write(temporary, bytes);
    std::filesystem::rename(root_ / temporary, root_ / path);
    return {path, std::move(stamp)};
}

std::string BlobsLoad::write(const std::string& path, size_t bytes) {
    const std::string stamp = padded(++stamps_, stamp_bytes);
    const int file = open((root_ / path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0) {
        fail("creating " + path);
    }
    bool ok = ::write(file, stamp.data(), stamp.size()) == static_cast<ssize_t>(stamp.size());
    size_t left = bytes - std::min(bytes, stamp.size());
    while (ok && left > 0) {
        // Another place for each, so that no two contents are equal.
        const size_t from = random_() % (noise_bytes / 2);
        const size_t part = std::min(left, noise_bytes - from);
        ok = ::write(file, noise_.data() + from, part) == static_cast<ssize_t>(part);
        left -= part;
    }
    if (close(file) != 0 || !ok) {
        fail("writing " + path);
    }
    return stamp;
}

BlobsMirror::BlobsMirror(std::filesystem::path root, const BlobsLoad& load)
    : root_(std::move(root)), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    for (size_t i = 0; i < load.directories(); ++i) {
        const std::string name = BlobsLoad::directory(i);
        const int watch =
            inotify_add_watch(inotify_, (root_ / name).c_str(), IN_CLOSE_WRITE | IN_MOVED_TO);
        if (watch < 0) {
            fail("watching " + name);
        }
        directories_[watch] = name;
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

BlobsMirror::~BlobsMirror() {
    thread_.request_stop();
    thread_.join();
    close(inotify_);
}

void BlobsMirror::run(const std::stop_token& stop) {
    alignas(inotify_event) std::array<char, 64 * 1024> buffer{};
    while (!stop.stop_requested()) {
        pollfd waiting{inotify_, POLLIN, 0};
        poll(&waiting, 1, 100);
        const ssize_t count = read(inotify_, buffer.data(), buffer.size());
        const auto now = SteadyClock::now();
        for (ssize_t offset = 0; offset < count;) {
            const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + offset);
            // Hidden files are the tools' own.
            if (event->len > 0 && event->name[0] != '.') {
                look(directories_.at(event->wd) + "/" + event->name, now);
            }
            offset += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        }
    }
}

std::string BlobsMirror::stamp_of(const std::string& path) const {
    std::string stamp(stamp_bytes, '\0');
    const int file = open((root_ / path).c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return {};
    }
    const ssize_t count = read(file, stamp.data(), stamp.size());
    close(file);
    return count == static_cast<ssize_t>(stamp.size()) ? stamp : std::string();
}

void BlobsMirror::look(const std::string& path, SteadyClock::time_point now) {
    const std::string stamp = stamp_of(path);
    const std::scoped_lock lock(mutex_);
    const auto found = expected_.find(path);
    if (found == expected_.end()) {
        early_[path] = {stamp, now};
    } else if (found->second.stamp == stamp) {
        latencies_.push_back(
            std::chrono::duration<double, std::milli>(now - found->second.written).count());
        newest_ = now;
        expected_.erase(found);
        all_there_.notify_all();
    }
}

void BlobsMirror::expect(const BlobsLoad::Version& version, SteadyClock::time_point written) {
    const std::scoped_lock lock(mutex_);
    const auto early = early_.find(version.path);
    if (early != early_.end() && early->second.stamp == version.stamp) {
        latencies_.push_back(
            std::chrono::duration<double, std::milli>(early->second.at - written).count());
        newest_ = early->second.at;
        early_.erase(early);
        return;
    }
    expected_[version.path] = {version.stamp, written};
}

void BlobsMirror::await_all(std::chrono::seconds patience) {
    std::unique_lock lock(mutex_);
    if (!all_there_.wait_for(lock, patience, [&] { return expected_.empty(); })) {
        throw std::runtime_error(std::to_string(expected_.size()) +
                                 " changes do not arrive: " + expected_.begin()->first);
    }
}

std::vector<double> BlobsMirror::latencies() {
    const std::scoped_lock lock(mutex_);
    return latencies_;
}

SteadyClock::time_point BlobsMirror::newest() {
    const std::scoped_lock lock(mutex_);
    return newest_;
}

}  // namespace antipode::bench
