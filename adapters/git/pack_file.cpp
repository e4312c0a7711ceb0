#include "adapters/git/pack_file.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "base/digest.hpp"

namespace antipode::git {
namespace {

constexpr std::string_view index_head("\377tOc\0\0\0\2", 8);
constexpr size_t fanout_bytes = 256 * 4;

uint64_t file_size(const Fd& fd, const std::filesystem::path& path) {
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) {
        throw_errno("looking at", path);
    }
    return static_cast<uint64_t>(info.st_size);
}

/// A file's bytes, for as long as it lives; a file that is changed meanwhile must not be mapped.
class Mapped {
  public:
    explicit Mapped(const std::filesystem::path& path) {
        const Fd fd = open_file(path, O_RDONLY);
        size_ = file_size(fd, path);
        if (size_ > 0) {
            bytes_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
            if (bytes_ == MAP_FAILED) {
                throw_errno("mapping", path);
            }
        }
    }
    ~Mapped() {
        if (size_ > 0) {
            munmap(bytes_, size_);
        }
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;

    std::string_view bytes() const { return {static_cast<const char*>(bytes_), size_}; }

  private:
    void* bytes_ = nullptr;
    size_t size_ = 0;
};

size_t number_at(std::string_view bytes, size_t at) {
    size_t number = 0;
    for (size_t i = 0; i < 4; ++i) {
        number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
    }
    return number;
}

bool names(std::string_view index, const std::string& oid) {
    const auto objects_up_to = [&](size_t first_byte) {
        return number_at(index, index_head.size() + first_byte * 4);
    };
    const auto first_byte = static_cast<unsigned char>(oid.at(0));
    size_t low = first_byte == 0 ? 0 : objects_up_to(first_byte - 1);
    size_t high = objects_up_to(first_byte);
    const std::string_view oids = index.substr(index_head.size() + fanout_bytes);
    if (low > high || high > oids.size() / oid.size()) {
        return false;
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = oids.substr(middle * oid.size(), oid.size()).compare(oid);
        if (order == 0) {
            return true;
        }
        (order < 0 ? low : high) = order < 0 ? middle + 1 : middle;
    }
    return false;
}

}  // namespace

std::string name_of_pack(const std::filesystem::path& file, size_t oid_bytes) {
    const Fd fd = open_file(file, O_RDONLY);
    const auto begin = static_cast<off_t>(file_size(fd, file)) - static_cast<off_t>(oid_bytes);
    std::string checksum(oid_bytes, '\0');
    if (begin >= 0 && pread(fd.get(), checksum.data(), oid_bytes, begin) < 0) {
        throw_errno("reading", file);
    }
    return "pack-" + to_hex(checksum);
}

std::vector<std::string> not_named(const std::filesystem::path& index,
                                   const std::vector<std::string>& oids) {
    const Mapped mapped(index);
    const std::string_view bytes = mapped.bytes();
    if (bytes.size() < index_head.size() + fanout_bytes || !bytes.starts_with(index_head)) {
        return oids;
    }
    std::vector<std::string> others;
    std::copy_if(oids.begin(), oids.end(), std::back_inserter(others),
                 [&](const std::string& oid) { return !names(bytes, oid); });
    return others;
}

}  // namespace antipode::git
