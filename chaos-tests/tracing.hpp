#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/support/process.hpp"

namespace antipode::chaos {

/// What strace(1) does to calls of a kind (inject=), and where it says what it did. It counts the
/// calls of each thread apart.
struct Injection {
    std::string calls;             ///< "fsync,fdatasync"
    std::string what;              ///< "error=EIO:when=3..9"
    std::filesystem::path record;  ///< is appended to; made anew by begin_record()
};

void begin_record(const Injection& injection);
/// A call was.
bool has_hit(const Injection& injection);
/// The same, within so long.
bool hits(const Injection& injection, std::chrono::milliseconds timeout = std::chrono::seconds(20));

/// 0: none.
pid_t tracer_of(pid_t process);

/// Words before a command: it and all that it starts run so. It is the caller's child, strace is
/// not, so that it dies with the caller.
std::vector<std::string> under_strace(const Injection& injection);

/// A program at `path` that runs `command` (of the shell) with its own arguments behind it, and
/// with these words before it. Whoever has begun one that was there goes on with that.
void put_program(const std::filesystem::path& path, const std::string& command,
                 const std::vector<std::string>& before = {});

/// Of processes that run already, with all that they start. Until this ends they are as they were
/// before.
class Tracer {
  public:
    Tracer(const Injection& injection, const std::vector<pid_t>& processes);
    ~Tracer() { strace_.stop(); }
    Tracer(const Tracer&) = delete;
    Tracer& operator=(const Tracer&) = delete;

  private:
    test::Process strace_;
};

}  // namespace antipode::chaos
