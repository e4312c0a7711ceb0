#pragma once

#include <filesystem>
#include <string>

namespace antipode {

/// Makes the state directory if it is not there, and holds it for one program: of two of them with
/// one directory the second refuses to start, after a moment: what one that was killed had just
/// forked may hold the directory until it has come to its exec(). Throws Error{Stop}.
class StateLock {
  public:
    /// `program`: "antipoded". `file`: of the directory; each program has its own.
    StateLock(const std::filesystem::path& directory, const std::string& program,
              const std::string& file);
    ~StateLock();
    StateLock(const StateLock&) = delete;
    StateLock& operator=(const StateLock&) = delete;

  private:
    int fd_;
};

}  // namespace antipode
