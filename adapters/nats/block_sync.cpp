#include "adapters/nats/block_sync.hpp"

#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/nats/reason.hpp"
#include "base/seams/stream.hpp"

namespace antipode::nats {
namespace {

/// A purge moves the directory away, and makes a new one with its first block, at once.
constexpr std::chrono::seconds longest_purge(3);
constexpr std::chrono::milliseconds look_interval(50);

[[noreturn]] void fail(const std::filesystem::path& file, const char* doing) {
    throw Error(Reaction::Retry,
                std::string(doing) + " " + file.string() + ": " + std::strerror(errno),
                "set nats.store_dir to the server's JetStream store_dir and let this user read it");
}

void sync_file(const std::filesystem::path& file) {
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT) {
            return;  // purged meanwhile
        }
        fail(file, "opening");
    }
    const int result = fdatasync(fd);
    close(fd);
    if (result != 0) {
        fail(file, "syncing");
    }
}

/// 0: it is not there.
ino_t inode_of(const std::filesystem::path& file) {
    struct stat info {};
    return stat(file.c_str(), &info) == 0 ? info.st_ino : 0;
}

int64_t nanoseconds_of(const timespec& time) {
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// "17.blk" -> 17.
uint64_t block_number(const std::filesystem::path& file) {
    return std::strtoull(file.stem().c_str(), nullptr, 10);
}

}  // namespace

BlockSync::BlockSync(const std::filesystem::path& store_dir, const std::string& stream) {
    if (store_dir.empty()) {
        return;
    }
    // The server appends "jetstream" to a configured directory that does not end with it.
    std::filesystem::path root = store_dir;
    if (root.filename() != "jetstream" && std::filesystem::exists(root / "jetstream")) {
        root /= "jetstream";
    }
    blocks_ = root / "$G" / "streams" / stream / "msgs";
}

void BlockSync::sync() {
    if (blocks_.empty()) {
        return;
    }
    const Seen before = see();
    if (before == seen_ && seen_.may_be_trusted()) {
        sync_file(newest_file_);
        return;
    }
    const auto blocks = wait_for_blocks();
    const ino_t directory = inode_of(blocks_);
    if (blocks.rbegin()->first < newest_ || directory != directory_) {
        // All was purged, or the stream was made anew: the server counts from 1 again.
        newest_ = 0;
    }
    for (auto block = blocks.lower_bound(newest_); block != blocks.end(); ++block) {
        sync_file(block->second);
    }
    if (blocks.rbegin()->first != newest_) {
        // A new block's directory entry must survive as well.
        sync_file(blocks_);
        sync_file(blocks_.parent_path());
        newest_ = blocks.rbegin()->first;
    }
    directory_ = directory;
    newest_file_ = blocks.rbegin()->second;
    seen_ = before;
}

BlockSync::Seen BlockSync::see() const {
    struct stat info {};
    timespec now{};
    if (stat(blocks_.c_str(), &info) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return {};
    }
    return {info.st_ino, nanoseconds_of(info.st_mtim), nanoseconds_of(now)};
}

/// nats-server 2.9 has been seen without that directory behind a purge, or somebody removed it: it
/// goes on, and what it acknowledges then is nowhere on the disk.
BlockSync::Blocks BlockSync::wait_for_blocks() const {
    const auto until = std::chrono::steady_clock::now() + longest_purge;
    Blocks blocks = look();
    while (blocks.empty()) {
        const bool were_there = newest_ != 0 && errno == ENOENT && inode_of(blocks_.parent_path());
        if (!were_there) {
            fail(blocks_, "looking for message blocks in");  // elsewhere, not mounted, not ours
        }
        if (std::chrono::steady_clock::now() >= until) {
            throw DamagedStream(Reaction::Retry,
                                "the server writes to no message blocks in " + blocks_.string() +
                                    " any more, where they were",
                                std::string(damaged_stream_remedy));
        }
        std::this_thread::sleep_for(look_interval);
        blocks = look();
    }
    return blocks;
}

/// By their numbers. Leaves ENOENT in errno where there are none.
BlockSync::Blocks BlockSync::look() const {
    Blocks blocks;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(blocks_, error)) {
        if (entry.path().extension() == ".blk") {
            blocks.emplace(block_number(entry.path()), entry.path());
        }
    }
    errno = error ? error.value() : ENOENT;
    return blocks;
}

}  // namespace antipode::nats
