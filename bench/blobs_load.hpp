#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace antipode::bench {

using SteadyClock = std::chrono::steady_clock;

/// Files below a root, in 256 directories (or as many as asked for), written as an application
/// would. Every file's first bytes are a stamp that no other version has.
class BlobsLoad {
  public:
    BlobsLoad(std::filesystem::path root, size_t directories);

    struct Version {
        std::string path;
        std::string stamp;
    };
    /// A new file of so many bytes, under its own name from the beginning.
    Version create(size_t bytes);
    /// The oldest file that was not replaced yet gets other content: a temporary file beside it,
    /// which is renamed.
    Version replace(size_t bytes);
    size_t files() const { return paths_.size(); }
    /// From 1 to 64 KiB, each power of two as often as the others.
    size_t some_bytes();

    size_t directories() const { return directories_; }
    static std::string directory(size_t number);

  private:
    std::string write(const std::string& path, size_t bytes);

    const std::filesystem::path root_;
    const size_t directories_;
    std::vector<std::string> paths_;
    size_t replaced_ = 0;
    uint64_t stamps_ = 0;
    std::string noise_;
    std::mt19937_64 random_{4711};
};

/// Notices, by inotify, when versions of files become visible in a mirror.
class BlobsMirror {
  public:
    /// The directories must be there.
    BlobsMirror(std::filesystem::path root, const BlobsLoad& load);
    ~BlobsMirror();

    /// To be called before the version is written; `written` right after it was.
    void expect(const BlobsLoad::Version& version, SteadyClock::time_point written);
    /// Waits until all that was expected is there; throws after `patience`.
    void await_all(std::chrono::seconds patience);
    /// Milliseconds from written to visible.
    std::vector<double> latencies();
    SteadyClock::time_point newest();

  private:
    void run(const std::stop_token& stop);
    void look(const std::string& path, SteadyClock::time_point now);
    std::string stamp_of(const std::string& path) const;

    const std::filesystem::path root_;
    int inotify_;
    std::map<int, std::string> directories_;
    std::mutex mutex_;
    std::condition_variable all_there_;
    struct Expected {
        std::string stamp;
        SteadyClock::time_point written;
    };
    std::map<std::string, Expected> expected_;
    struct Seen {
        std::string stamp;
        SteadyClock::time_point at;
    };
    std::map<std::string, Seen> early_;  ///< seen before it was expected
    std::vector<double> latencies_;
    SteadyClock::time_point newest_;
    std::jthread thread_;
};

}  // namespace antipode::bench
