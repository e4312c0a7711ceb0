#include "adapters/files/posix_tree.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/files/descriptor.hpp"
#include "base/files.hpp"
#include "base/handle.hpp"

namespace antipode::files {
namespace {

using std::filesystem::path;

constexpr int64_t nanoseconds = 1'000'000'000;

int64_t to_nanoseconds(const timespec& time) {
    return time.tv_sec * nanoseconds + time.tv_nsec;
}

FileStat convert(const struct stat& from) {
    FileStat to;
    to.type = S_ISREG(from.st_mode)   ? FileType::Regular
              : S_ISDIR(from.st_mode) ? FileType::Directory
              : S_ISLNK(from.st_mode) ? FileType::SymbolicLink
                                      : FileType::Other;
    to.size = static_cast<uint64_t>(from.st_size);
    to.mtime_ns = to_nanoseconds(from.st_mtim);
    to.ctime_ns = to_nanoseconds(from.st_ctim);
    to.inode = from.st_ino;
    to.device = from.st_dev;
    to.links = from.st_nlink;
    to.mode = from.st_mode & 07777;
    return to;
}

bool is_absence(int error) {
    return error == ENOENT || error == ENOTDIR;
}

/// A path's directory, opened, and its last component.
struct Place {
    Descriptor directory;
    std::string name;
};

/// An empty directory with errno set when it cannot be opened. The root has no place.
Place place_of(const path& root, const std::string& name) {
    const size_t slash = name.rfind('/');
    const bool nested = slash != std::string::npos;
    Place place;
    place.name = nested ? name.substr(slash + 1) : name;
    if (place.name.empty() || place.name == "." || place.name == ".." ||
        place.name.find('\0') != std::string::npos) {
        errno = EINVAL;
        return place;
    }
    place.directory = open_beneath(root, nested ? name.substr(0, slash) : "", O_PATH | O_DIRECTORY);
    return place;
}

class PosixReader final : public FileReader {
  public:
    PosixReader(Descriptor descriptor, path root, std::string name)
        : descriptor_(std::move(descriptor)), root_(std::move(root)), name_(std::move(name)) {}

    FileStat stat() override {
        struct stat found {};
        if (fstat(descriptor_.number(), &found) != 0) {
            throw system_error("looking at", root_, name_, errno);
        }
        return convert(found);
    }

    size_t read_at(uint64_t offset, std::span<char> buffer) override {
        size_t filled = 0;
        while (filled < buffer.size()) {
            const ssize_t count =
                pread(descriptor_.number(), buffer.data() + filled, buffer.size() - filled,
                      static_cast<off_t>(offset + filled));
            if (count == 0) {
                break;
            }
            if (count > 0) {
                filled += static_cast<size_t>(count);
            } else if (errno != EINTR) {
                throw system_error("reading", root_, name_, errno);
            }
        }
        return filled;
    }

  private:
    Descriptor descriptor_;
    path root_;
    std::string name_;
};

class PosixWriter final : public FileWriter {
  public:
    PosixWriter(Descriptor descriptor, path root, std::string name)
        : descriptor_(std::move(descriptor)), root_(std::move(root)), name_(std::move(name)) {}

    void write(std::string_view bytes) override {
        while (!bytes.empty()) {
            const ssize_t count = ::write(descriptor_.number(), bytes.data(), bytes.size());
            if (count >= 0) {
                bytes.remove_prefix(static_cast<size_t>(count));
            } else if (errno != EINTR) {
                throw system_error("writing", root_, name_, errno);
            }
        }
    }

    void write_at(uint64_t offset, std::string_view bytes) override {
        while (!bytes.empty()) {
            const ssize_t count = pwrite(descriptor_.number(), bytes.data(), bytes.size(),
                                         static_cast<off_t>(offset));
            if (count >= 0) {
                bytes.remove_prefix(static_cast<size_t>(count));
                offset += static_cast<uint64_t>(count);
            } else if (errno != EINTR) {
                throw system_error("writing", root_, name_, errno);
            }
        }
    }

    void write_zeros_at(uint64_t offset, uint64_t size) override {
        constexpr std::array<char, 65'536> zeros{};
        const auto place = static_cast<off_t>(offset);
        const auto length = static_cast<off_t>(size);
        if (size > 0 && fallocate(descriptor_.number(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  place, length) == 0) {
            struct stat found {};
            if (fstat(descriptor_.number(), &found) != 0) {
                throw system_error("writing", root_, name_, errno);
            }
            if (found.st_size < place + length) {
                // Not ftruncate: another thread may be writing behind this.
                write_at(offset + size - 1, std::string_view(zeros.data(), 1));
            }
            return;
        }
        for (; size > 0; size -= std::min<uint64_t>(size, zeros.size())) {
            const std::string_view part(zeros.data(), std::min<uint64_t>(size, zeros.size()));
            write_at(offset, part);
            offset += part.size();
        }
    }

    void set_metadata(uint32_t mode, int64_t mtime_ns) override {
        // Seconds may be negative, their nanoseconds not.
        int64_t seconds = mtime_ns / nanoseconds;
        int64_t rest = mtime_ns % nanoseconds;
        if (rest < 0) {
            rest += nanoseconds;
            --seconds;
        }
        const std::array<timespec, 2> times = {timespec{0, UTIME_OMIT}, timespec{seconds, rest}};
        if (fchmod(descriptor_.number(), mode & 07777) != 0 ||
            futimens(descriptor_.number(), times.data()) != 0) {
            throw system_error("setting mode and time of", root_, name_, errno);
        }
    }

    void sync() override {
        if (fsync(descriptor_.number()) != 0) {
            throw system_error("syncing", root_, name_, errno);
        }
    }

  private:
    Descriptor descriptor_;
    path root_;
    std::string name_;
};

class PosixBarrier final : public FileBarrier {
  public:
    /// syncfs(2) reports the write errors since the descriptor was opened.
    explicit PosixBarrier(const path& root)
        : root_(root), descriptor_(open_beneath(root, "", O_RDONLY | O_DIRECTORY)) {
        if (!descriptor_) {
            throw system_error("opening", root_, "", errno);
        }
    }

    void sync() override {
        if (syncfs(descriptor_.number()) != 0) {
            throw system_error("syncing", root_, "", errno);
        }
    }

  private:
    path root_;
    Descriptor descriptor_;
};

}  // namespace

std::optional<FileStat> PosixTree::stat(const std::string& name) {
    struct stat found {};
    if (name.empty()) {
        // The root may be a symbolic link, and its file system may stand away from /.
        if (::stat(root_.c_str(), &found) == 0) {
            return convert(found);
        }
    } else {
        const Place place = place_of(root_, name);
        if (place.directory && fstatat(place.directory.number(), place.name.c_str(), &found,
                                       AT_SYMLINK_NOFOLLOW) == 0) {
            return convert(found);
        }
    }
    // Behind a symbolic link nothing is ours: for us, nothing is there.
    if (!is_absence(errno) && errno != ELOOP) {
        throw system_error("looking at", root_, name, errno);
    }
    return std::nullopt;
}

std::optional<std::vector<FileTree::Entry>> PosixTree::list(const std::string& directory) {
    Descriptor opened = open_beneath(root_, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened) {
        if (is_absence(errno) || errno == ELOOP) {
            return std::nullopt;
        }
        throw system_error("listing", root_, directory, errno);
    }
    const Handle<DIR, closedir> stream(fdopendir(opened.number()));
    if (!stream) {
        throw system_error("listing", root_, directory, errno);
    }
    const int number = opened.release();
    std::vector<Entry> entries;
    errno = 0;
    while (const dirent* next = readdir(stream.get())) {
        Entry entry{next->d_name, {}};
        struct stat found {};
        if (entry.name == "." || entry.name == "..") {
            continue;
        }
        if (fstatat(number, next->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
            entry.stat = convert(found);
            entries.push_back(std::move(entry));
        } else if (errno != ENOENT) {
            throw system_error("looking at an entry of", root_, directory, errno);
        }
        errno = 0;
    }
    if (errno != 0) {
        throw system_error("listing", root_, directory, errno);
    }
    return entries;
}

std::unique_ptr<FileReader> PosixTree::open(const std::string& name) {
    // O_NONBLOCK: a pipe of that name must not hold us; regular files do not care.
    Descriptor opened = open_beneath(root_, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (!opened) {
        if (is_absence(errno) || errno == ELOOP || errno == ENXIO) {
            return nullptr;
        }
        throw system_error("opening", root_, name, errno);
    }
    auto reader = std::make_unique<PosixReader>(std::move(opened), root_, name);
    if (reader->stat().type != FileType::Regular) {
        return nullptr;
    }
    return reader;
}

std::unique_ptr<FileWriter> PosixTree::open_to_write(const std::string& name, int flags) {
    Descriptor opened = open_beneath(root_, name, flags | O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
    if (!opened) {
        throw system_error("opening", root_, name, errno);
    }
    give(opened.number(), name);
    return std::make_unique<PosixWriter>(std::move(opened), root_, name);
}

void PosixTree::give(int descriptor, const std::string& name) const {
    if (owner_ && fchown(descriptor, owner_->user, owner_->group) != 0) {
        throw system_error("giving its owner to", root_, name, errno);
    }
}

std::unique_ptr<FileWriter> PosixTree::create(const std::string& name) {
    return open_to_write(name, O_TRUNC);
}

std::unique_ptr<FileWriter> PosixTree::append(const std::string& name) {
    return open_to_write(name, O_APPEND);
}

std::unique_ptr<FileWriter> PosixTree::update(const std::string& name) {
    return open_to_write(name, 0);
}

std::unique_ptr<FileWriter> PosixTree::open_for_metadata(const std::string& name) {
    Descriptor opened = open_beneath(root_, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (!opened && errno == EACCES) {
        opened = open_beneath(root_, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
    }
    if (!opened) {
        if (is_absence(errno)) {
            return nullptr;
        }
        throw system_error("opening", root_, name, errno);
    }
    return std::make_unique<PosixWriter>(std::move(opened), root_, name);
}

bool PosixTree::make_directory(const std::string& name) {
    const Place place = place_of(root_, name);
    const bool made =
        place.directory && mkdirat(place.directory.number(), place.name.c_str(), 0755) == 0;
    if (made) {
        // What is in our own directories is nobody else's before it is in its place.
        if (owner_ && !is_private(name)) {
            const auto opened = open_beneath(root_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
            give(opened.number(), name);
        }
        return true;
    }
    if (errno == EEXIST || is_absence(errno)) {
        return false;
    }
    throw system_error("making directory", root_, name, errno);
}

FileTree::Placed PosixTree::rename(const std::string& from, const std::string& to) {
    const Place source = place_of(root_, from);
    if (!source.directory) {
        if (is_absence(errno)) {
            return Placed::SourceMissing;
        }
        throw system_error("moving", root_, from, errno);
    }
    const Place target = place_of(root_, to);
    if (!target.directory) {
        if (is_absence(errno) || errno == ELOOP) {
            return Placed::DirectoryMissing;
        }
        throw system_error("moving to", root_, to, errno);
    }
    if (renameat(source.directory.number(), source.name.c_str(), target.directory.number(),
                 target.name.c_str()) == 0) {
        return Placed::Yes;
    }
    if (errno == EISDIR) {
        return Placed::DirectoryThere;
    }
    if (errno == ENOENT) {
        // Of the file, or of a directory that was removed after it was opened.
        return stat(from) ? Placed::DirectoryMissing : Placed::SourceMissing;
    }
    throw system_error("moving to", root_, to, errno);
}

bool PosixTree::link(const std::string& from, const std::string& to) {
    const Place source = place_of(root_, from);
    const Place target = place_of(root_, to);
    if (source.directory && target.directory &&
        linkat(source.directory.number(), source.name.c_str(), target.directory.number(),
               target.name.c_str(), 0) == 0) {
        return true;
    }
    if (errno == EEXIST || errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK ||
        errno == EXDEV) {
        return false;
    }
    throw system_error("linking", root_, from, errno);
}

bool PosixTree::clone(const std::string& from, const std::string& to) {
    const Descriptor source = open_beneath(root_, from, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (!source) {
        throw system_error("opening", root_, from, errno);
    }
    const Descriptor target =
        open_beneath(root_, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!target) {
        if (errno == EEXIST) {
            return false;
        }
        throw system_error("opening", root_, to, errno);
    }
    give(target.number(), to);
    if (ioctl(target.number(), FICLONE, source.number()) == 0) {
        return true;
    }
    const int problem = errno;
    remove(to);
    if (problem == EOPNOTSUPP || problem == ENOTTY || problem == EINVAL || problem == EXDEV) {
        return false;
    }
    throw system_error("cloning", root_, from, problem);
}

bool PosixTree::remove(const std::string& name) {
    const Place place = place_of(root_, name);
    if (place.directory && unlinkat(place.directory.number(), place.name.c_str(), 0) == 0) {
        return true;
    }
    if (is_absence(errno) || errno == EISDIR || errno == ELOOP) {
        return false;
    }
    throw system_error("removing", root_, name, errno);
}

bool PosixTree::remove_directory(const std::string& name) {
    const Place place = place_of(root_, name);
    if (place.directory &&
        unlinkat(place.directory.number(), place.name.c_str(), AT_REMOVEDIR) == 0) {
        return true;
    }
    if (is_absence(errno) || errno == ENOTEMPTY || errno == EEXIST || errno == ELOOP) {
        return false;
    }
    throw system_error("removing directory", root_, name, errno);
}

void PosixTree::sync_directory(const std::string& name) {
    const Descriptor opened = open_beneath(root_, name, O_RDONLY | O_DIRECTORY);
    if (!opened && (is_absence(errno) || errno == ELOOP)) {
        return;
    }
    if (!opened && errno == EACCES) {
        // It is written to and not read: with everything else of its file system.
        barrier()->sync();
        return;
    }
    if (!opened || fsync(opened.number()) != 0) {
        throw system_error("syncing", root_, name, errno);
    }
}

std::unique_ptr<FileBarrier> PosixTree::barrier() {
    return std::make_unique<PosixBarrier>(root_);
}

std::optional<std::string> why_not_given(const FileOwner& owner) {
    const Descriptor file(memfd_create("owner", MFD_CLOEXEC));
    if (!file) {
        return "cannot be tried: " + std::generic_category().message(errno);
    }
    if (fchown(file.number(), owner.user, owner.group) == 0 && fchmod(file.number(), 0600) == 0) {
        return std::nullopt;
    }
    return "cannot be given by user " + std::to_string(geteuid()) + ": " +
           std::generic_category().message(errno);
}

}  // namespace antipode::files
