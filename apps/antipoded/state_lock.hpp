#pragma once

#include <filesystem>

namespace antipode {

/// Makes the state directory if it is not there, and holds it: of two daemons with one directory
/// the second refuses to start, after a moment: what a daemon that was killed had just forked may
/// hold the directory until it has come to its exec(). Throws Error{Stop}.
class StateLock {
  public:
    explicit StateLock(const std::filesystem::path& directory);
    ~StateLock();
    StateLock(const StateLock&) = delete;
    StateLock& operator=(const StateLock&) = delete;

  private:
    int fd_;
};

}  // namespace antipode
