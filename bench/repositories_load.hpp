#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace antipode::bench {

using SteadyClock = std::chrono::steady_clock;

/// Bare repositories r000.git, r001.git, ... below a root, and clones of them from which is pushed.
class RepositoriesLoad {
  public:
    struct Shape {
        size_t repositories = 20;
        size_t files = 300;         ///< in each repository's first commit, of 10 KB each
        size_t first_files = 0;     ///< in that of the first one; 0: as many as in the others
        size_t pushes = 600;        ///< to all of them: as many commits are made ahead of time
        size_t most_new_files = 1;  ///< in a push, of 1 KB each: 1, 10, 100, ... in turn
    };
    RepositoriesLoad(const std::filesystem::path& directory, std::filesystem::path root,
                     const Shape& shape);

    static std::string name(size_t repository);
    size_t repositories() const { return commits_.size(); }
    double mebibytes() const { return mebibytes_; }

    struct Push {
        size_t repository;
        size_t number;  ///< of the repository's commits
    };
    /// The next one, to the repositories in turn; returns when `git push` has.
    Push push();
    /// The same; seconds of CPU that it took, all that it started and waited for included.
    double push_and_count();
    size_t next_repository() const { return next_ % repositories(); }
    /// Pushes one file that does not compress to a branch of its own in the first repository.
    void push_large(size_t mebibytes);
    bool large_is_at(const std::filesystem::path& mirror) const;
    /// Where a repository's branch stands, as one of its commits; 0: before all pushes.
    size_t position(size_t repository, const std::filesystem::path& mirror) const;
    /// The last that was pushed to each repository.
    std::vector<size_t> pushed() const { return pushed_; }

  private:
    void make(size_t repository, const Shape& shape);
    std::string commits_of(size_t repository, const Shape& shape);
    std::filesystem::path clone(size_t repository) const;

    const std::filesystem::path directory_;
    const std::filesystem::path root_;
    std::vector<std::vector<std::string>> commits_;
    std::vector<std::map<std::string, size_t>> numbers_;
    std::vector<size_t> pushed_;
    size_t next_ = 0;
    double mebibytes_ = 0;
    std::string large_;  ///< the commit of the large file
};

/// Looks every millisecond where the mirror's branches stand that something is awaited of.
class RepositoriesMirror {
  public:
    RepositoriesMirror(const RepositoriesLoad& load, std::filesystem::path root);

    /// Something will be pushed there: it may be visible before its push returns.
    void watch(size_t repository);
    /// Milliseconds until the push is visible, from `returned` on; waits for all that were noted.
    void expect(const RepositoriesLoad::Push& push, SteadyClock::time_point returned);
    std::vector<double> await_all(std::chrono::seconds patience);

  private:
    struct Expected {
        RepositoriesLoad::Push push;
        SteadyClock::time_point returned;
    };
    void run(const std::stop_token& stop);
    std::vector<size_t> watched();
    void look(size_t repository);

    const RepositoriesLoad& load_;
    const std::filesystem::path root_;
    std::mutex mutex_;
    std::vector<Expected> expected_;
    std::vector<double> latencies_;
    /// When each repository that is watched was first seen to stand where.
    std::map<size_t, std::map<size_t, SteadyClock::time_point>> seen_;
    std::jthread thread_;
};

}  // namespace antipode::bench
