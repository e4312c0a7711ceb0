#include "base/state_lock.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/worker.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds patience(1000);
constexpr std::chrono::milliseconds look_interval(10);

}  // namespace

StateLock::StateLock(const std::filesystem::path& directory, const std::string& program,
                     const std::string& file)
    : fd_(-1) {
    const std::string shown = "state_dir " + printable(directory.native());
    const std::string own = "give " + program + " a directory that it may write to (state_dir)";
    std::error_code failure;
    std::filesystem::create_directories(directory, failure);
    if (failure) {
        throw Error(Reaction::Stop, shown + " cannot be made: " + failure.message(), own);
    }
    fd_ = open((directory / file).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) {
        throw Error(Reaction::Stop, shown + " cannot be written: " + std::strerror(errno), own);
    }
    const auto deadline = std::chrono::steady_clock::now() + patience;
    bool held = false;
    while (!(held = flock(fd_, LOCK_EX | LOCK_NB) == 0) &&
           std::chrono::steady_clock::now() < deadline) {
        sleep_unless_stopped(look_interval, {});
    }
    if (!held) {
        close(fd_);
        throw Error(Reaction::Stop, "another " + program + " works in " + shown,
                    "stop the other one, or give this one a state_dir of its own");
    }
}

StateLock::~StateLock() {
    close(fd_);
}

}  // namespace antipode
