#include "adapters/nats/block_sync.hpp"

#include <cstring>
#include <map>

#include <fcntl.h>
#include <unistd.h>

#include "adapters/nats/reason.hpp"
#include "base/seams/stream.hpp"

namespace antipode::nats {
namespace {

/// A purge moves the directory away, and makes a new one with its first block, at once.
constexpr std::chrono::seconds longest_purge(3);

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
    std::map<uint64_t, std::filesystem::path> unsynced;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(blocks_, error)) {
        if (entry.path().extension() == ".blk" && block_number(entry.path()) >= newest_) {
            unsynced.emplace(block_number(entry.path()), entry.path());
        }
    }
    if (error || unsynced.empty()) {
        must_come_back();
        errno = error ? error.value() : ENOENT;
        fail(blocks_, "looking for message blocks in");
    }
    missing_since_.reset();
    for (const auto& [number, file] : unsynced) {
        sync_file(file);
    }
    if (unsynced.rbegin()->first != newest_) {
        // A new block's directory entry must survive as well.
        sync_file(blocks_);
        newest_ = unsynced.rbegin()->first;
    }
}

/// nats-server 2.9 has once gone on without that directory behind a purge: what it acknowledged
/// then was nowhere on the disk.
void BlockSync::must_come_back() {
    const bool was_there = newest_ > 0 && std::filesystem::exists(blocks_.parent_path());
    if (!was_there) {
        return;  // somewhere else, or not mounted: for the operator
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - missing_since_.value_or(now) < longest_purge) {
        missing_since_ = missing_since_.value_or(now);
        return;
    }
    missing_since_.reset();
    newest_ = 0;
    throw DamagedStream(Reaction::Retry,
                        "the server writes to no message blocks in " + blocks_.string() +
                            " any more, where they were",
                        std::string(damaged_stream_remedy));
}

}  // namespace antipode::nats
