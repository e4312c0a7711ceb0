#include "adapters/nats/block_sync.hpp"

#include <cstring>
#include <map>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.hpp"

namespace antipode::nats {
namespace {

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
        errno = error ? error.value() : ENOENT;
        fail(blocks_, "looking for message blocks in");
    }
    for (const auto& [number, file] : unsynced) {
        sync_file(file);
    }
    if (unsynced.rbegin()->first != newest_) {
        // A new block's directory entry must survive as well.
        sync_file(blocks_);
        newest_ = unsynced.rbegin()->first;
    }
}

}  // namespace antipode::nats
