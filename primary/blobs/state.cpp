#include "primary/blobs/state.hpp"

#include "base/files.hpp"

namespace antipode::primary {
namespace {

constexpr char version = 1;

class Writer {
  public:
    Writer& number(uint64_t value, int bytes) {
        for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
            out += static_cast<char>((value >> shift) & 0xff);
        }
        return *this;
    }
    std::string out;
};

class Reader {
  public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}
    uint64_t number(size_t bytes) {
        uint64_t value = 0;
        for (const char c : text(bytes)) {
            value = value << 8 | static_cast<unsigned char>(c);
        }
        return value;
    }
    /// Empty once the bytes do not suffice.
    std::string_view text(size_t bytes) {
        ok = ok && bytes <= rest_.size();
        const std::string_view taken = ok ? rest_.substr(0, bytes) : std::string_view();
        rest_.remove_prefix(taken.size());
        return taken;
    }
    std::string_view rest() const { return rest_; }
    bool ok = true;

  private:
    std::string_view rest_;
};

}  // namespace

std::string BlobState::encode() const {
    Writer writer;
    writer.number(version, 1).number(settled ? 1 : 0, 1).number(stat.size, 8);
    writer.number(static_cast<uint64_t>(stat.mtime_ns), 8);
    writer.number(static_cast<uint64_t>(stat.ctime_ns), 8);
    writer.number(stat.inode, 8).number(stat.mode, 4);
    writer.out += view(hash);
    return writer.number(0, 8).out;
}

std::optional<BlobState> BlobState::decode(std::string_view bytes) {
    Reader reader(bytes);
    const bool known = reader.number(1) == version;
    BlobState state;
    state.settled = reader.number(1) == 1;
    state.stat.size = reader.number(8);
    state.stat.mtime_ns = static_cast<int64_t>(reader.number(8));
    state.stat.ctime_ns = static_cast<int64_t>(reader.number(8));
    state.stat.inode = reader.number(8);
    state.stat.mode = static_cast<uint32_t>(reader.number(4));
    const auto hash = sha256_from_bytes(reader.text(state.hash.size()));
    reader.number(8);
    if (!known || !hash || !reader.ok || !reader.rest().empty()) {
        return std::nullopt;
    }
    state.hash = *hash;
    return state;
}

bool BlobState::proves_unchanged(const FileStat& now) const {
    return settled && now.type == FileType::Regular && now.size == stat.size &&
           now.mtime_ns == stat.mtime_ns && now.ctime_ns == stat.ctime_ns &&
           now.inode == stat.inode && now.mode == stat.mode;
}

std::string BlobReference::encode() const {
    Writer writer;
    writer.number(version, 1).number(size, 8).number(inode, 8);
    return writer.out + path;
}

std::optional<BlobReference> BlobReference::decode(std::string_view bytes) {
    Reader reader(bytes);
    const bool known = reader.number(1) == version;
    BlobReference reference;
    reference.size = reader.number(8);
    reference.inode = reader.number(8);
    reference.path = reader.rest();
    if (!known || !reader.ok || why_no_path(reference.path)) {
        return std::nullopt;
    }
    return reference;
}

}  // namespace antipode::primary
