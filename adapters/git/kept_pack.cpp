#include "adapters/git/kept_pack.hpp"

#include <array>
#include <cerrno>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::git {
namespace {

constexpr std::string_view extension = ".pack";
constexpr std::string_view note_extension = ".made";
constexpr size_t header_bytes = 12;  // gitformat-pack(5): "PACK", version, number of objects
constexpr size_t chunk_bytes = 1 << 18;

size_t read_some(const Fd& fd, std::span<char> buffer, const std::filesystem::path& path) {
    ssize_t count = -1;
    do {
        count = read(fd.get(), buffer.data(), buffer.size());
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        throw_errno("reading", path);
    }
    return static_cast<size_t>(count);
}

uint64_t file_size(const Fd& fd, const std::filesystem::path& path) {
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) {
        throw_errno("looking at", path);
    }
    return static_cast<uint64_t>(info.st_size);
}

class FileBody final : public BulkBody {
  public:
    FileBody(Fd fd, std::filesystem::path path)
        : fd_(std::move(fd)), path_(std::move(path)), size_(file_size(fd_, path_)) {}

    std::optional<uint64_t> size() const override { return size_; }
    void seek(uint64_t offset) override {
        if (lseek(fd_.get(), static_cast<off_t>(offset), SEEK_SET) < 0) {
            throw_errno("seeking in", path_);
        }
    }
    size_t read(std::span<char> buffer) override { return read_some(fd_, buffer, path_); }

  private:
    Fd fd_;
    std::filesystem::path path_;
    uint64_t size_;
};

Sha256 hash_of(const Fd& fd, const std::filesystem::path& path, const std::stop_token& stop) {
    Sha256Stream hash;
    std::vector<char> buffer(chunk_bytes);
    while (const size_t count = read_some(fd, buffer, path)) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        hash.update(std::string_view(buffer.data(), count));
    }
    return hash.finish();
}

std::filesystem::path path_of(const std::filesystem::path& directory, const Sha256& hash) {
    return directory / (to_hex(hash) + std::string(extension));
}

/// A line: the pack's SHA-256.
std::filesystem::path note_of(const std::filesystem::path& directory, const std::string& request) {
    return directory / (to_hex(sha256(request)) + std::string(note_extension));
}

bool has_objects(std::string_view header) {
    return header.size() >= header_bytes && header.substr(8, 4) != std::string_view("\0\0\0\0", 4);
}

}  // namespace

std::optional<Pack> keep_pack(const std::filesystem::path& file,
                              const std::filesystem::path& directory) {
    const Fd fd = open_file(file, O_RDONLY);
    Pack pack;
    pack.size = file_size(fd, file);
    const bool small = pack.size <= limits::inline_content_bytes;
    Sha256Stream hash;
    std::vector<char> buffer(chunk_bytes);
    bool first = true;
    while (const size_t count = read_some(fd, buffer, file)) {
        const std::string_view chunk(buffer.data(), count);
        if (first && !has_objects(chunk)) {
            return std::nullopt;
        }
        first = false;
        hash.update(chunk);
        if (small) {
            pack.bytes += chunk;
        }
    }
    pack.sha256 = hash.finish();
    if (!small) {
        if (fsync(fd.get()) != 0) {
            throw_errno("syncing", file);
        }
        rename_path(file, path_of(directory, pack.sha256));
        sync_path(directory);
    }
    return pack;
}

std::optional<Pack> link_pack(const std::filesystem::path& file,
                              const std::filesystem::path& directory, const std::stop_token& stop) {
    const std::filesystem::path work = make_unique_directory(directory, "making-");
    const TreeRemover remover(work);
    const std::filesystem::path linked = work / "pack";
    if (link(file.c_str(), linked.c_str()) != 0) {
        return std::nullopt;
    }
    const Fd fd = open_file(linked, O_RDONLY);
    const Pack pack{hash_of(fd, file, stop), file_size(fd, file), {}};
    if (fsync(fd.get()) != 0) {
        throw_errno("syncing", file);
    }
    // Nothing happens when it is kept already.
    rename_path(linked, path_of(directory, pack.sha256));
    sync_path(directory);
    return pack;
}

void note_made(const std::filesystem::path& directory, const std::string& request,
               const Pack& pack) {
    write_file_durably(note_of(directory, request), to_hex(pack.sha256) + "\n", 0600);
}

std::optional<Pack> take_made(const std::filesystem::path& directory, const std::string& request,
                              const std::stop_token& stop) {
    const std::filesystem::path note = note_of(directory, request);
    if (!std::filesystem::exists(note)) {
        return std::nullopt;
    }
    const std::string text = read_small_file(note, 100);
    unlink(note.c_str());
    const auto bytes = from_hex(text.substr(0, text.find('\n')));
    const auto hash = bytes ? sha256_from_bytes(*bytes) : std::nullopt;
    const std::filesystem::path path = hash ? path_of(directory, *hash) : note;
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() || hash_of(fd, path, stop) != *hash) {
        return std::nullopt;
    }
    if (futimens(fd.get(), nullptr) != 0) {  // from now on it is kept anew
        throw_errno("touching", path);
    }
    return Pack{*hash, file_size(fd, path), {}};
}

std::unique_ptr<BulkBody> open_pack(const std::filesystem::path& directory, const Sha256& hash) {
    std::filesystem::path path = path_of(directory, hash);
    Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) {
        if (errno == ENOENT) {
            return nullptr;
        }
        throw_errno("opening", path);
    }
    return std::make_unique<FileBody>(std::move(fd), std::move(path));
}

size_t drop_packs(const std::filesystem::path& directory, TimePoint time) {
    size_t dropped = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
        struct stat info {};
        const bool is_pack = entry.path().extension() == extension;
        if ((!is_pack && entry.path().extension() != note_extension) ||
            stat(entry.path().c_str(), &info) != 0) {
            continue;
        }
        // When it got its last name: a pack of a repository may be old.
        const auto kept = TimePoint(std::chrono::seconds(info.st_ctim.tv_sec));
        if (kept < time && std::filesystem::remove(entry.path(), error)) {
            dropped += is_pack ? 1 : 0;
        }
    }
    return dropped;
}

}  // namespace antipode::git
