#include "failover/durable.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"

namespace antipode::failover {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const char* doing) {
    throw Error(Reaction::Retry,
                std::string(doing) + " " + file.string() + ": " + std::strerror(errno),
                "check free space and permissions of the state directory");
}

/// An open file, closed at the end.
class File {
  public:
    File(const std::filesystem::path& path, int flags, mode_t mode = 0640)
        : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {
        if (fd_ < 0) {
            fail(path_, "opening");
        }
    }
    ~File() { close(fd_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    void write_at(uint64_t offset, std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t count =
                pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (count < 0 && errno != EINTR) {
                fail(path_, "writing");
            }
            if (count > 0) {
                bytes.remove_prefix(static_cast<size_t>(count));
                offset += static_cast<uint64_t>(count);
            }
        }
    }
    template <typename Use>
    void for_each_block(const Use& use) const {
        char block[64 * 1024];
        while (true) {
            const ssize_t count = read(fd_, block, sizeof(block));
            if (count < 0 && errno != EINTR) {
                fail(path_, "reading");
            }
            if (count == 0) {
                return;
            }
            use(std::string_view(block, static_cast<size_t>(std::max<ssize_t>(count, 0))));
        }
    }
    void set_mode(std::filesystem::perms mode) const {
        if (fchmod(fd_, static_cast<mode_t>(mode)) != 0) {
            fail(path_, "setting permissions of");
        }
    }
    void truncate(uint64_t size) const {
        if (ftruncate(fd_, static_cast<off_t>(size)) != 0) {
            fail(path_, "truncating");
        }
    }
    void sync_all() const {
        if (syncfs(fd_) != 0) {
            fail(path_, "syncing the file system of");
        }
    }
    void sync() const {
        if (fsync(fd_) != 0) {
            fail(path_, "syncing");
        }
    }

  private:
    const std::filesystem::path& path_;
    int fd_;
};

void sync_directory_of(const std::filesystem::path& file) {
    const std::filesystem::path directory = file.parent_path();
    File(directory, O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace

void append_durably(const std::filesystem::path& file, uint64_t offset, std::string_view bytes) {
    {
        const File open(file, O_WRONLY | O_CREAT);
        open.truncate(offset);
        open.write_at(offset, bytes);
        open.sync();
    }
    sync_directory_of(file);
}

void truncate_durably(const std::filesystem::path& file, uint64_t size) {
    const File open(file, O_WRONLY);
    open.truncate(size);
    open.sync();
}

void replace_durably(const std::filesystem::path& file, std::string_view bytes,
                     std::filesystem::perms mode) {
    const std::filesystem::path temporary = file.string() + ".new";
    {
        const File open(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        open.set_mode(mode);
        open.write_at(0, bytes);
        open.sync();
    }
    rename_durably(temporary, file);
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0) {
        fail(from, "renaming");
    }
    sync_directory_of(to);
}

void sync_file_system(const std::filesystem::path& directory) {
    File(directory, O_RDONLY | O_DIRECTORY).sync_all();
}

std::optional<std::string> read_whole(const std::filesystem::path& file) {
    if (access(file.c_str(), F_OK) != 0 && errno == ENOENT) {
        return std::nullopt;
    }
    std::string bytes;
    File(file, O_RDONLY).for_each_block([&](std::string_view block) { bytes += block; });
    return bytes;
}

uint64_t copy_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
    const File source(from, O_RDONLY | O_NOFOLLOW);
    const File copy(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    uint64_t bytes = 0;
    source.for_each_block([&](std::string_view block) {
        copy.write_at(bytes, block);
        bytes += block.size();
    });
    copy.sync();
    return bytes;
}

void sync_directory(const std::filesystem::path& directory) {
    File(directory, O_RDONLY | O_DIRECTORY).sync();
}

void remove_durably(const std::filesystem::path& file) {
    if (unlink(file.c_str()) != 0 && errno != ENOENT) {
        fail(file, "removing");
    }
    sync_directory_of(file);
}

}  // namespace antipode::failover
