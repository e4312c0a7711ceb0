#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <sys/types.h>

/// The few file operations that the git adapter needs durable or free of symbolic links. All throw
/// Error{Retry} with the path and the system's text.
namespace antipode::git {

/// Owner of one file descriptor.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() { reset(); }

    int get() const { return fd_; }
    bool valid() const { return fd_ >= 0; }
    void reset();

  private:
    int fd_ = -1;
};

[[noreturn]] void throw_errno(const std::string& doing, const std::filesystem::path& path);

/// open(2) with O_CLOEXEC; throws.
Fd open_file(const std::filesystem::path& path, int flags, mode_t mode = 0);

/// fsync(2) of a file or directory.
void sync_path(const std::filesystem::path& path);
/// syncfs(2) of the file system that `path` is on: one barrier for everything written before.
void sync_file_system(const std::filesystem::path& path);

/// rename(2); throws.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);

/// A new directory of its own: `parent`/`prefix`XXXXXX.
std::filesystem::path make_unique_directory(const std::filesystem::path& parent,
                                            const std::string& prefix);
/// Makes `path` below `base` with its parents, each synced into the directory above it.
void make_directories_durably(const std::filesystem::path& base, const std::string& path);

std::string read_small_file(const std::filesystem::path& path, size_t limit);
/// All of it; `path` is for messages.
void write_and_sync(const Fd& fd, std::string_view bytes, const std::filesystem::path& path);
/// Temporary file beside it, fsync, rename, fsync of the directory.
void write_file_durably(const std::filesystem::path& path, std::string_view bytes, mode_t mode);

/// Opens the directory `root`/`name` component by component, following no symbolic link below the
/// root. Invalid when it is not there; `foreign` tells that something else is in the way.
Fd open_beneath(const std::filesystem::path& root, const std::string& name, bool& foreign);

/// `name` as a relative path that cannot leave the root: no empty, "." or ".." component, no NUL.
bool is_safe_relative(std::string_view name);

/// Removes the tree (or file) when it goes out of scope, if it is still there.
class TreeRemover {
  public:
    explicit TreeRemover(std::filesystem::path path) : path_(std::move(path)) {}
    ~TreeRemover();
    /// It has another name now.
    void release() { path_.clear(); }
    TreeRemover(const TreeRemover&) = delete;
    TreeRemover& operator=(const TreeRemover&) = delete;

  private:
    std::filesystem::path path_;
};

}  // namespace antipode::git
