#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace antipode::chaos {

/// Microseconds since 1970: of this machine's one clock, as the daemons' times are.
int64_t now_us();

/// One thing that the application tried to do.
struct Operation {
    enum class Kind {
        Put,        ///< a file, then a commit that names it, then a row that names both
        Remove,     ///< the row of an earlier Put, then its file
        Transfer,   ///< between two accounts, in one transaction
        Move,       ///< a forced push that moves a branch anywhere
        Overwrite,  ///< the one file of a writer gets another content
    };
    enum class Outcome {
        Pending,
        Ok,       ///< acknowledged, wholly
        Failed,   ///< refused before its last step was sent: no row can be there
        Unknown,  ///< nobody can tell: the server died while it was asked
    };
    Kind kind = Kind::Put;
    int writer = 0;
    int number = 0;          ///< of the Put; counts up for each writer. Of a Remove: which Put
    std::string site;        ///< where
    int64_t invoked_us = 0;  ///< before its first step
    int64_t done_us = 0;     ///< after its last
    Outcome outcome = Outcome::Pending;
    std::string repository;  ///< its name below the root
    std::string path;        ///< of the file, below the root
    std::string sha256;      ///< of the file's content
    std::string commit;
    std::string error;  ///< why it failed
};

/// All that was tried, and what became of it. Any thread.
class History {
  public:
    /// Its place, for end().
    size_t begin(Operation operation);
    void end(size_t place, const Operation& operation);
    /// As it is now.
    std::vector<Operation> operations() const;

  private:
    mutable std::mutex mutex_;
    std::vector<Operation> operations_;
};

/// One operation a line, as JSON.
std::string to_json_lines(const std::vector<Operation>& operations);

}  // namespace antipode::chaos
