#include "adapters/git/pack_file.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr std::string_view index_head("\377tOc\0\0\0\2", 8);
constexpr size_t fanout_entries = 256;
constexpr size_t fanout_bytes = fanout_entries * 4;
constexpr size_t pack_header_bytes = 12;
constexpr size_t sha1_bytes = 20;
constexpr size_t large_offset = size_t{1} << 31;

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

size_t number_at(std::string_view bytes, size_t at, size_t width = 4) {
    size_t number = 0;
    for (size_t i = 0; i < width; ++i) {
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

/// The tables of an index (gitformat-pack(5), version 2), whose size has been checked.
struct Tables {
    std::string_view fanout;
    std::string_view oids;
    std::string_view offsets;
    std::string_view large_offsets;
    std::string_view pack_sum;
    std::string_view own_sum;
    size_t count = 0;
};

std::optional<Tables> tables_of(std::string_view index, size_t oid_bytes) {
    if (index.size() < index_head.size() + fanout_bytes || !index.starts_with(index_head)) {
        return std::nullopt;
    }
    Tables tables;
    tables.fanout = index.substr(index_head.size(), fanout_bytes);
    tables.count = number_at(tables.fanout, fanout_bytes - 4);
    const size_t begin = index_head.size() + fanout_bytes;
    const size_t names = tables.count * oid_bytes;
    const size_t numbers = tables.count * 4;  // of the offsets, and of the CRCs before them
    const size_t fixed = begin + names + 2 * numbers + 2 * oid_bytes;
    if (index.size() < fixed || (index.size() - fixed) % 8 != 0) {
        return std::nullopt;
    }
    tables.oids = index.substr(begin, names);
    tables.offsets = index.substr(begin + names + numbers, numbers);
    tables.large_offsets = index.substr(begin + names + 2 * numbers, index.size() - fixed);
    tables.pack_sum = index.substr(index.size() - 2 * oid_bytes, oid_bytes);
    tables.own_sum = index.substr(index.size() - oid_bytes);
    return tables;
}

bool are_in_order(const Tables& tables, size_t oid_bytes) {
    size_t next = 0;
    for (size_t byte = 0; byte < fanout_entries; ++byte) {
        const size_t end = number_at(tables.fanout, byte * 4);
        for (; next < end && next < tables.count; ++next) {
            const std::string_view oid = tables.oids.substr(next * oid_bytes, oid_bytes);
            if (static_cast<unsigned char>(oid[0]) != byte ||
                (next > 0 && tables.oids.substr((next - 1) * oid_bytes, oid_bytes) >= oid)) {
                return false;
            }
        }
        if (next != end) {
            return false;
        }
    }
    return true;
}

bool are_within(const Tables& tables, size_t end) {
    for (size_t i = 0; i < tables.count; ++i) {
        size_t offset = number_at(tables.offsets, i * 4);
        if (offset >= large_offset) {
            const size_t at = (offset - large_offset) * 8;
            offset = at < tables.large_offsets.size() ? number_at(tables.large_offsets, at, 8) : 0;
        }
        if (offset < pack_header_bytes || offset >= end) {
            return false;
        }
    }
    return true;
}

std::string read_at(const Fd& fd, size_t at, size_t size, const std::filesystem::path& path) {
    std::string bytes(size, '\0');
    if (pread(fd.get(), bytes.data(), size, static_cast<off_t>(at)) < 0) {
        throw_errno("reading", path);
    }
    return bytes;
}

/// Where so many objects could be, and some others, by the size of their indexes: the newest ones,
/// the newest first.
std::vector<std::filesystem::path> indexes_of_about(const std::filesystem::path& directory,
                                                    size_t objects) {
    constexpr size_t most_looked_at = 8;
    constexpr size_t bytes_per_object = sha1_bytes + 4 + 4;  // its CRC and its offset
    constexpr size_t fixed = index_head.size() + fanout_bytes + 2 * sha1_bytes;
    std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.path().extension() != ".idx") {
            continue;
        }
        const uint64_t size = entry.file_size(error);
        const auto time = entry.last_write_time(error);
        if (!error && size >= fixed + objects * bytes_per_object &&
            size <= fixed + (objects + objects / 4 + 16) * bytes_per_object) {
            found.emplace_back(time, entry.path());
        }
    }
    std::sort(found.rbegin(), found.rend());
    std::vector<std::filesystem::path> indexes;
    for (size_t i = 0; i < std::min(found.size(), most_looked_at); ++i) {
        indexes.push_back(std::move(found[i].second));
    }
    return indexes;
}

/// Those that an index names beside `oids`, which are sorted, if that is all of them and the others
/// take no more than `most_bytes` at the end of the pack of `size` bytes.
std::optional<std::vector<std::string>> others_in(const std::filesystem::path& index, uint64_t size,
                                                  const std::vector<std::string>& oids,
                                                  uint64_t most_bytes) {
    const Mapped mapped(index);
    const auto tables = tables_of(mapped.bytes(), sha1_bytes);
    if (!tables || !tables->large_offsets.empty() || size < sha1_bytes) {
        return std::nullopt;
    }
    const uint64_t end = size - sha1_bytes;
    std::vector<std::string> others;
    for (size_t i = 0; i < tables->count; ++i) {
        std::string oid(tables->oids.substr(i * sha1_bytes, sha1_bytes));
        if (std::binary_search(oids.begin(), oids.end(), oid)) {
            continue;
        }
        if (number_at(tables->offsets, i * 4) + most_bytes < end) {
            return std::nullopt;
        }
        others.push_back(std::move(oid));
    }
    const bool has_all = tables->count == oids.size() + others.size();
    return has_all ? std::optional(std::move(others)) : std::nullopt;
}

}  // namespace

void append_number(std::string& bytes, uint32_t number) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        bytes += static_cast<char>(number >> shift & 0xff);
    }
}

std::string name_of_pack(const std::filesystem::path& file, size_t oid_bytes) {
    const Fd fd = open_file(file, O_RDONLY);
    const uint64_t size = file_size(fd, file);
    return "pack-" + to_hex(size < oid_bytes ? std::string(oid_bytes, '\0')
                                             : read_at(fd, size - oid_bytes, oid_bytes, file));
}

std::string refuse_index(const std::filesystem::path& index, const std::filesystem::path& pack,
                         size_t oid_bytes) {
    const Mapped mapped(index);
    const auto tables = tables_of(mapped.bytes(), oid_bytes);
    if (!tables) {
        return "its layout is not known";
    }
    const std::string_view summed = mapped.bytes().substr(0, mapped.bytes().size() - oid_bytes);
    const std::string sum =
        oid_bytes == sizeof(Sha256) ? std::string(view(sha256(summed))) : sha1(summed);
    if (sum != tables->own_sum) {
        return "its checksum is wrong";
    }
    const Fd fd = open_file(pack, O_RDONLY);
    const uint64_t size = file_size(fd, pack);
    if (size < pack_header_bytes + oid_bytes ||
        read_at(fd, size - oid_bytes, oid_bytes, pack) != tables->pack_sum) {
        return "it is another pack's";
    }
    if (number_at(read_at(fd, 0, pack_header_bytes, pack), 8) != tables->count) {
        return "it does not name all objects";
    }
    return are_in_order(*tables, oid_bytes) && are_within(*tables, size - oid_bytes)
               ? ""
               : "what it says contradicts itself";
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

std::optional<HoldingPack> pack_of(const std::filesystem::path& directory,
                                   std::vector<std::string> oids, uint64_t most_else) {
    std::sort(oids.begin(), oids.end());
    for (const std::filesystem::path& index : indexes_of_about(directory, oids.size())) {
        try {
            const auto pack = std::filesystem::path(index).replace_extension(".pack");
            if (auto others = others_in(index, std::filesystem::file_size(pack), oids, most_else)) {
                return HoldingPack{pack, std::move(*others)};
            }
        } catch (const Error&) {
            continue;  // git has just taken it away
        } catch (const std::filesystem::filesystem_error&) {
            continue;
        }
    }
    return std::nullopt;
}

size_t objects_in_pack(std::string_view pack) {
    return pack.size() >= pack_header_bytes && pack.starts_with("PACK") ? number_at(pack, 8) : 0;
}

}  // namespace antipode::git
