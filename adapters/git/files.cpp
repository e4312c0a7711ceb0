#include "adapters/git/files.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

std::string next_step(int error) {
    switch (error) {
        case ENOSPC:
        case EDQUOT:
            return "free space on its file system";
        case EACCES:
        case EPERM:
        case EROFS:
            return "check the permissions of the path and the user that antipoded runs as";
        default:
            return "";
    }
}

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
    while (!bytes.empty()) {
        const ssize_t written = write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            throw_errno("writing", path);
        }
        bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(written, 0)));
    }
}

}  // namespace

void Fd::reset() {
    if (fd_ >= 0) {
        close(fd_);
        fd_ = -1;
    }
}

void throw_errno(const std::string& doing, const std::filesystem::path& path) {
    const int error = errno;
    throw Error(Reaction::Retry, doing + " " + printable(path.native()) + ": " + strerror(error),
                next_step(error));
}

Fd open_file(const std::filesystem::path& path, int flags, mode_t mode) {
    Fd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
    if (!fd.valid()) {
        throw_errno("opening", path);
    }
    return fd;
}

void sync_path(const std::filesystem::path& path) {
    const Fd fd = open_file(path, O_RDONLY);
    if (fsync(fd.get()) != 0) {
        throw_errno("syncing", path);
    }
}

void sync_file_system(const std::filesystem::path& path) {
    const Fd fd = open_file(path, O_RDONLY | O_DIRECTORY);
    if (syncfs(fd.get()) != 0) {
        throw_errno("syncing the file system of", path);
    }
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (rename(from.c_str(), to.c_str()) != 0) {
        throw_errno("renaming " + printable(from.native()) + " to", to);
    }
}

std::filesystem::path make_unique_directory(const std::filesystem::path& parent,
                                            const std::string& prefix) {
    std::string pattern = (parent / (prefix + "XXXXXX")).string();
    if (mkdtemp(pattern.data()) == nullptr) {
        throw_errno("making a directory in", parent);
    }
    return pattern;
}

void make_directories_durably(const std::filesystem::path& base, const std::string& path) {
    std::filesystem::path directory = base;
    for (const auto& component : std::filesystem::path(path)) {
        const std::filesystem::path parent = directory;
        directory /= component;
        if (mkdir(directory.c_str(), 0755) == 0) {
            sync_path(parent);
        } else if (errno != EEXIST) {
            throw_errno("making directory", directory);
        }
    }
}

std::string read_small_file(const std::filesystem::path& path, size_t limit) {
    constexpr size_t step = 4096;
    const Fd fd = open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) {
        throw_errno("looking at", path);
    }
    // What its size says, if it has one, and one byte more is read at once.
    const auto said = static_cast<size_t>(std::max<off_t>(info.st_size, 0));
    std::string bytes(std::min(limit, std::max(said, step)) + 1, '\0');
    size_t done = 0;
    while (done <= limit) {
        bytes.resize(done < bytes.size() ? bytes.size() : std::min(limit, 2 * done) + 1);
        const ssize_t count = read(fd.get(), bytes.data() + done, bytes.size() - done);
        if (count == 0) {
            bytes.resize(done);
            return bytes;
        }
        if (count < 0 && errno != EINTR) {
            throw_errno("reading", path);
        }
        done += static_cast<size_t>(std::max<ssize_t>(count, 0));
    }
    errno = EFBIG;
    throw_errno("reading", path);
}

void write_and_sync(const Fd& fd, std::string_view bytes, const std::filesystem::path& path) {
    write_all(fd.get(), bytes, path);
    if (fsync(fd.get()) != 0) {
        throw_errno("syncing", path);
    }
}

void write_file_durably(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
    std::string temporary = path.string() + ".XXXXXX";
    const Fd fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd.valid()) {
        throw_errno("making a file beside", path);
    }
    const TreeRemover remover(temporary);
    write_all(fd.get(), bytes, temporary);
    if (fchmod(fd.get(), mode) != 0 || fsync(fd.get()) != 0) {
        throw_errno("syncing", temporary);
    }
    rename_path(temporary, path);
    sync_path(path.parent_path());
}

bool is_safe_relative(std::string_view name) {
    if (name.empty() || name.find('\0') != std::string_view::npos) {
        return false;
    }
    while (true) {
        const size_t slash = name.find('/');
        const std::string_view component = name.substr(0, slash);
        if (component.empty() || component == "." || component == "..") {
            return false;
        }
        if (slash == std::string_view::npos) {
            return true;
        }
        name.remove_prefix(slash + 1);
    }
}

Fd open_beneath(const std::filesystem::path& root, const std::string& name, bool& foreign) {
    foreign = false;
    Fd directory = open_file(root, O_RDONLY | O_DIRECTORY);
    for (const auto& component : std::filesystem::path(name)) {
        Fd next(openat(directory.get(), component.c_str(),
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!next.valid()) {
            if (errno == ENOTDIR || errno == ELOOP) {
                foreign = true;
            } else if (errno != ENOENT) {
                throw_errno("opening", root / name);
            }
            return Fd();
        }
        directory = std::move(next);
    }
    return directory;
}

TreeRemover::~TreeRemover() {
    if (!path_.empty()) {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
}

}  // namespace antipode::git
