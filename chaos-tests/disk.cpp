#include "chaos-tests/disk.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/support/process.hpp"

namespace antipode::chaos {
namespace {

namespace fs = std::filesystem;

/// nats-server gives its streams three quarters of it. Nothing is taken before it is used.
const std::string enough_room = "size=6g,nr_inodes=1000000";
constexpr uint64_t loop_bytes = uint64_t{6} << 30;
/// Of a full one: less than any file needs, more than none.
constexpr uint64_t left_bytes = 8192;
/// EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH (Linux, fs/ext4/ext4.h): as xfstests cut the
/// power.
constexpr unsigned long ext4_shutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t without_log_flush = 2;

[[noreturn]] void fail(const std::string& doing, const fs::path& where) {
    throw std::system_error(errno, std::generic_category(), doing + " " + where.string());
}

/// The files that processes hold open below it, and where they stand: "/proc/4711/fd/3 -> ...".
std::string who_works_in(const fs::path& directory) {
    return test::run({"find", "/proc", "-maxdepth", "3", "-lname", directory.string() + "*",
                      "-printf", "%p -> %l; "})
        .output;
}

class Open {
  public:
    Open(const fs::path& path, int how) : number(open(path.c_str(), how | O_CLOEXEC)) {
        if (number < 0) {
            fail("opening", path);
        }
    }
    ~Open() { close(number); }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    const int number;
};

struct statvfs room_of(const fs::path& path) {
    struct statvfs room {};
    if (statvfs(path.c_str(), &room) != 0) {
        fail("looking for room in", path);
    }
    return room;
}

}  // namespace

Disk::Disk(Kind kind, fs::path directory, const fs::path& image)
    : kind_(kind),
      directory_(std::move(directory)),
      image_(image),
      base_(kind == Kind::Loop ? fs::path(image.string() + ".mounted") : directory_) {
    fs::create_directories(directory_);
    if (kind_ == Kind::Memory) {
        mount_memory(enough_room, 0);
        return;
    }
    const int file = open(image_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, static_cast<off_t>(loop_bytes)) != 0) {
        fail("making", image_);
    }
    close(file);
    test::must_run(
        {"mkfs.ext4", "-q", "-m", "0", "-J", "size=16", "-E", "nodiscard", image_.string()});
    fs::create_directories(base_);
    mount_loop();
}

Disk::~Disk() {
    umount2(directory_.c_str(), MNT_DETACH);
    if (kind_ == Kind::Loop) {
        umount2(base_.c_str(), MNT_DETACH);
    }
}

void Disk::mount_memory(const std::string& options, unsigned long flags) const {
    if (mount("tmpfs", directory_.c_str(), "tmpfs", flags, (options + ",mode=755").c_str()) != 0) {
        fail("mounting a tmpfs with " + options + " at", directory_);
    }
}

/// The part that is used stands below the root, beside what fills the disk, and lost+found.
void Disk::mount_loop() const {
    // By default the kernel would write what nobody synced after five seconds.
    test::must_run(
        {"mount", "-t", "ext4", "-o", "loop,noatime,commit=300", image_.string(), base_.string()});
    fs::create_directories(base_ / "used");
    if (mount((base_ / "used").c_str(), directory_.c_str(), nullptr, MS_BIND, nullptr) != 0) {
        fail("mounting", directory_);
    }
}

void Disk::umount_loop() const {
    for (const fs::path& path : {directory_, base_}) {
        // Those who worked in it end only now.
        if (!test::eventually([&] { return umount2(path.c_str(), 0) == 0; })) {
            const int reason = errno;
            const std::string holders = who_works_in(path);
            errno = reason;
            fail("unmounting (" + holders + ")", path);
        }
    }
}

void Disk::fill() {
    const struct statvfs room = room_of(base_);
    if (kind_ == Kind::Memory) {
        const uint64_t used = (room.f_blocks - room.f_bfree) * room.f_frsize;
        mount_memory("size=" + std::to_string(used + left_bytes), MS_REMOUNT);
        return;
    }
    const int file = open(filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
        fail("filling", base_);
    }
    // What is free is not free in one piece, and the file's list of pieces needs room, too.
    off_t filled = 0;
    for (uint64_t piece = room.f_bavail * room.f_frsize; piece >= left_bytes; piece /= 2) {
        while (fallocate(file, 0, filled, static_cast<off_t>(piece)) == 0) {
            filled += static_cast<off_t>(piece);
        }
    }
    close(file);
}

void Disk::fill_inodes() {
    const struct statvfs room = room_of(base_);
    const uint64_t used = room.f_files - room.f_ffree;
    mount_memory("nr_inodes=" + std::to_string(used + 1), MS_REMOUNT);
}

void Disk::make_room() {
    if (kind_ == Kind::Memory) {
        mount_memory(enough_room, MS_REMOUNT);
    } else {
        fs::remove(filler());
        sync();  // or a later power cut brings it back
    }
}

void Disk::sync() const {
    const Open root(base_, O_RDONLY | O_DIRECTORY);
    if (syncfs(root.number) != 0) {
        fail("syncing", base_);
    }
}

void Disk::cut_power() const {
    const Open root(base_, O_RDONLY | O_DIRECTORY);
    uint32_t how = without_log_flush;
    if (ioctl(root.number, ext4_shutdown, &how) != 0) {
        fail("shutting down", base_);
    }
}

void Disk::rot(const fs::path& file) const {
    sync();
    const Open read(file, O_RDONLY);
    const auto middle = static_cast<off_t>(fs::file_size(file) / 2);
    const auto block_bytes = static_cast<off_t>(room_of(base_).f_bsize);
    int block = static_cast<int>(middle / block_bytes);
    if (ioctl(read.number, FIBMAP, &block) != 0 || block == 0) {
        fail("looking for the place of", file);
    }
    const off_t place = block * block_bytes + middle % block_bytes;
    const Open image(image_, O_RDWR);
    char byte = 0;
    if (pread(image.number, &byte, 1, place) != 1) {
        fail("reading", image_);
    }
    byte = static_cast<char>(~byte);
    if (pwrite(image.number, &byte, 1, place) != 1) {
        fail("writing", image_);
    }
    // Whoever reads it next reads it from there.
    if (const int problem = posix_fadvise(read.number, 0, 0, POSIX_FADV_DONTNEED); problem != 0) {
        errno = problem;
        fail("letting go of what was read of", file);
    }
}

void Disk::mount_again() {
    umount_loop();
    mount_loop();
}

}  // namespace antipode::chaos
