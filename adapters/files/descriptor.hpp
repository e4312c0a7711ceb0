#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "base/error.hpp"

/// What the POSIX tree and the watch share.
namespace antipode::files {

/// Owns a file descriptor.
class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor();
    explicit operator bool() const { return number_ >= 0; }
    int number() const { return number_; }
    int release() { return std::exchange(number_, -1); }

  private:
    int number_ = -1;
};

/// Opens what stands at `path` below `root` without following symbolic links and without leaving
/// the root. Empty, with errno set, when it cannot.
Descriptor open_beneath(const std::filesystem::path& root, const std::string& path, int flags,
                        unsigned mode = 0);

/// "doing <path> in <root>: <the system's text>" and the remedy for `error`.
Error system_error(const std::string& doing, const std::filesystem::path& root,
                   const std::string& path, int error);

}  // namespace antipode::files
