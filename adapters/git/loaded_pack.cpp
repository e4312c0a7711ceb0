#include "adapters/git/loaded_pack.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <libdeflate.h>

#include "adapters/git/pack_file.hpp"
#include "base/digest.hpp"
#include "base/handle.hpp"

namespace antipode::git {
namespace {

constexpr size_t oid_size = 20;
constexpr size_t header_bytes = 12;
constexpr size_t fanout_entries = 256;
constexpr size_t copies_64_kib = 0x10000;
/// git takes no shorter one.
constexpr size_t least_difference_bytes = 4;
/// git makes chains of 50 differences at most, if nobody has it make longer ones.
constexpr int most_passes = 64;
/// Of a difference's base: by its place before this one, or by its id.
constexpr int by_offset = 6;
constexpr int by_oid = 7;
/// libgit2's own backends have 1 and 2.
constexpr int first_of_all = 3;

/// The pack cannot be loaded. Never leaves this file.
struct CannotLoad {};

void require(bool condition) {
    if (!condition) {
        throw CannotLoad{};
    }
}

/// Takes numbers and bytes from the front of what is left.
class Cursor {
  public:
    explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

    size_t left() const { return bytes_.size(); }
    std::string_view rest() const { return bytes_; }
    uint8_t byte() {
        require(!bytes_.empty());
        const auto value = static_cast<uint8_t>(bytes_[0]);
        bytes_.remove_prefix(1);
        return value;
    }
    std::string_view take(size_t count) {
        require(count <= bytes_.size());
        const std::string_view taken = bytes_.substr(0, count);
        bytes_.remove_prefix(count);
        return taken;
    }
    /// Seven bits a byte, the lowest first; `value` has `shift` bits already.
    size_t size(size_t value = 0, unsigned shift = 0) {
        for (bool more = true; more; shift += 7) {
            require(shift < 56);
            const uint8_t next = byte();
            value |= static_cast<size_t>(next & 0x7f) << shift;
            more = (next & 0x80) != 0;
        }
        return value;
    }

  private:
    std::string_view bytes_;
};

/// What stands at one place of the pack.
struct Entry {
    int type = 0;
    std::string content;  ///< of a difference: what it says, until it is resolved
    size_t offset = 0;
    uint32_t crc = 0;
    size_t base_offset = 0;
    std::string base_oid;

    bool is_difference() const { return type == by_offset || type == by_oid; }
};

class Inflater {
  public:
    Inflater() { require(inflater_ != nullptr); }

    /// Exactly `size` bytes; moves the cursor behind what they were packed in.
    std::string inflate_from(Cursor& cursor, size_t size) {
        std::string content(size, '\0');
        size_t packed_size = 0;
        const auto result =
            libdeflate_zlib_decompress_ex(inflater_.get(), cursor.rest().data(), cursor.left(),
                                          content.data(), size, &packed_size, nullptr);
        require(result == LIBDEFLATE_SUCCESS);
        cursor.take(packed_size);
        return content;
    }

  private:
    Handle<libdeflate_decompressor, libdeflate_free_decompressor> inflater_{
        libdeflate_alloc_decompressor()};
};

/// `difference` says what to copy from `base` and what to put between.
std::string patched(std::string_view base, std::string_view difference, size_t most) {
    require(difference.size() >= least_difference_bytes);
    Cursor cursor(difference);
    require(cursor.size() == base.size());
    const size_t size = cursor.size();
    require(size <= most);
    std::string made;
    made.reserve(size);
    while (cursor.left() > 0) {
        const uint8_t command = cursor.byte();
        if ((command & 0x80) == 0) {
            require(command != 0);
            made += cursor.take(command);
        } else {
            size_t offset = 0;
            size_t count = 0;
            for (unsigned i = 0; i < 4; ++i) {
                offset |= (command >> i & 1) != 0 ? size_t{cursor.byte()} << (8 * i) : 0;
            }
            for (unsigned i = 0; i < 3; ++i) {
                count |= (command >> (4 + i) & 1) != 0 ? size_t{cursor.byte()} << (8 * i) : 0;
            }
            count = count == 0 ? copies_64_kib : count;
            require(offset <= base.size() && count <= base.size() - offset);
            made += base.substr(offset, count);
        }
        require(made.size() <= size);
    }
    require(made.size() == size);
    return made;
}

const char* name_of(ObjectType type) {
    switch (type) {
        case ObjectType::Commit:
            return "commit";
        case ObjectType::Tree:
            return "tree";
        case ObjectType::Blob:
            return "blob";
        case ObjectType::Tag:
            return "tag";
    }
    return "";
}

class Loader {
  public:
    Loader(std::string_view pack, const LoadLimits& limits) : pack_(pack), left_(limits.bytes) {
        const size_t count = objects_in_pack(pack);
        require(count > 0 && count <= limits.objects && pack.size() > header_bytes + oid_size &&
                pack.size() < size_t{1} << 31 &&
                (pack.substr(4, 4) == std::string_view("\0\0\0\2", 4)));
        entries_.resize(count);
    }

    std::vector<LoadedPack::Object> run() {
        Cursor cursor(pack_.substr(header_bytes, pack_.size() - header_bytes - oid_size));
        for (Entry& entry : entries_) {
            read(cursor, entry);
        }
        require(cursor.left() == 0);
        for (size_t i = 0; i < entries_.size(); ++i) {
            if (!entries_[i].is_difference()) {
                name(i);
            }
        }
        resolve_all();
        std::vector<LoadedPack::Object> objects;
        objects.reserve(entries_.size());
        for (const auto& [oid, at] : at_oid_) {
            Entry& entry = entries_[at];
            LoadedPack::Object object{oid,       static_cast<ObjectType>(entry.type), {}, {},
                                      entry.crc, static_cast<uint32_t>(entry.offset)};
            object.size = entry.content.size();
            if (object.type != ObjectType::Blob) {
                object.content = std::move(entry.content);
            }
            objects.push_back(std::move(object));
        }
        return objects;
    }

  private:
    void read(Cursor& cursor, Entry& entry) {
        const std::string_view from = cursor.rest();
        entry.offset = pack_.size() - oid_size - from.size();
        const uint8_t head = cursor.byte();
        entry.type = head >> 4 & 7;
        const size_t size = (head & 0x80) != 0 ? cursor.size(head & 15, 4) : head & 15;
        require(entry.type != 0 && entry.type != 5);
        if (entry.type == by_offset) {
            entry.base_offset = base_before(cursor, entry.offset);
        } else if (entry.type == by_oid) {
            entry.base_oid = cursor.take(oid_size);
        }
        spend(size);
        entry.content = inflater_.inflate_from(cursor, size);
        entry.crc =
            static_cast<uint32_t>(libdeflate_crc32(0, from.data(), from.size() - cursor.left()));
    }

    /// Seven bits a byte, the highest first, and one more for each byte behind the first.
    static size_t base_before(Cursor& cursor, size_t offset) {
        uint8_t next = cursor.byte();
        size_t distance = next & 0x7f;
        while ((next & 0x80) != 0) {
            require(distance < size_t{1} << 40);
            next = cursor.byte();
            distance = (distance + 1) << 7 | (next & 0x7f);
        }
        require(distance > 0 && distance < offset);
        return offset - distance;
    }

    void spend(size_t bytes) {
        require(bytes <= left_);
        left_ -= bytes;
    }

    void name(size_t at) {
        const Entry& entry = entries_[at];
        const std::string head = std::string(name_of(static_cast<ObjectType>(entry.type))) + ' ' +
                                 std::to_string(entry.content.size()) + '\0';
        require(at_oid_.emplace(sha1(head, entry.content), at).second);
    }

    /// A base may stand behind what builds on it, and be a difference itself: again and again,
    /// until none gets any further.
    void resolve_all() {
        bool gets_on = true;
        for (int pass = 0; gets_on; ++pass) {
            require(pass < most_passes);
            gets_on = false;
            for (size_t i = 0; i < entries_.size(); ++i) {
                gets_on |= entries_[i].is_difference() && resolve(i);
            }
        }
        require(at_oid_.size() == entries_.size());
    }

    bool resolve(size_t at) {
        Entry& entry = entries_[at];
        size_t base = 0;
        if (entry.type == by_offset) {
            base = at_offset(entry.base_offset);
        } else {
            const auto found = at_oid_.find(entry.base_oid);
            if (found == at_oid_.end()) {
                return false;
            }
            base = found->second;
        }
        if (entries_[base].is_difference()) {
            return false;
        }
        std::string made = patched(entries_[base].content, entry.content, left_);
        spend(made.size());
        entry.content = std::move(made);
        entry.type = entries_[base].type;
        name(at);
        return true;
    }

    /// Entries stand in the order of their offsets.
    size_t at_offset(size_t offset) const {
        const auto found =
            std::lower_bound(entries_.begin(), entries_.end(), offset,
                             [](const Entry& entry, size_t at) { return entry.offset < at; });
        require(found != entries_.end() && found->offset == offset);
        return static_cast<size_t>(found - entries_.begin());
    }

    const std::string_view pack_;
    size_t left_;
    Inflater inflater_;
    std::vector<Entry> entries_;
    std::map<std::string, size_t, std::less<>> at_oid_;
};

/// What git_odb asks.
struct Backend : git_odb_backend {
    const LoadedPack* pack = nullptr;

    static const LoadedPack::Object* find(git_odb_backend* backend, const git_oid* id) {
        return static_cast<Backend*>(backend)->pack->find(
            {reinterpret_cast<const char*>(id->id), oid_size});
    }
    static int has(git_odb_backend* backend, const git_oid* id) {
        return find(backend, id) != nullptr ? 1 : 0;
    }
    static int read_head(size_t* size, git_object_t* type, git_odb_backend* backend,
                         const git_oid* id) {
        const auto* const object = find(backend, id);
        if (object == nullptr) {
            return GIT_ENOTFOUND;
        }
        *size = object->size;
        *type = static_cast<git_object_t>(object->type);
        return GIT_OK;
    }
    static int read_all(void** data, size_t* size, git_object_t* type, git_odb_backend* backend,
                        const git_oid* id) {
        const auto* const object = find(backend, id);
        if (object == nullptr || object->type == ObjectType::Blob) {
            return object == nullptr ? GIT_ENOTFOUND : GIT_ERROR;
        }
        auto* const bytes =
            static_cast<char*>(git_odb_backend_data_alloc(backend, object->size + 1));
        if (bytes == nullptr) {
            return GIT_ERROR;
        }
        std::memcpy(bytes, object->content.c_str(), object->size + 1);
        *data = bytes;
        *size = object->size;
        *type = static_cast<git_object_t>(object->type);
        return GIT_OK;
    }
    static void destroy(git_odb_backend* backend) {
        const std::unique_ptr<Backend> mine(static_cast<Backend*>(backend));
    }
};

}  // namespace

LoadedPack::LoadedPack(std::vector<Object> objects, std::string checksum)
    : objects_(std::move(objects)), checksum_(std::move(checksum)) {}

std::optional<LoadedPack> LoadedPack::load(std::string_view pack, const LoadLimits& limits) try {
    Loader loader(pack, limits);
    const std::string_view summed = pack.substr(0, pack.size() - oid_size);
    std::string checksum = sha1(summed);
    require(checksum == pack.substr(summed.size()));
    return LoadedPack(loader.run(), std::move(checksum));
} catch (const CannotLoad&) {
    return std::nullopt;
}

const LoadedPack::Object* LoadedPack::find(std::string_view oid) const {
    const auto found =
        std::lower_bound(objects_.begin(), objects_.end(), oid,
                         [](const Object& object, std::string_view id) { return object.oid < id; });
    return found != objects_.end() && found->oid == oid ? &*found : nullptr;
}

std::string LoadedPack::name() const {
    return "pack-" + to_hex(checksum_);
}

std::string LoadedPack::index() const {
    std::string text("\377tOc\0\0\0\2", 8);
    auto next = objects_.begin();
    for (size_t byte = 0; byte < fanout_entries; ++byte) {
        next = std::find_if(next, objects_.end(), [&](const Object& object) {
            return static_cast<unsigned char>(object.oid[0]) > byte;
        });
        append_number(text, static_cast<uint32_t>(next - objects_.begin()));
    }
    for (const Object& object : objects_) {
        text += object.oid;
    }
    for (const Object& object : objects_) {
        append_number(text, object.crc);
    }
    for (const Object& object : objects_) {
        append_number(text, object.offset);
    }
    text += checksum_;
    return text + sha1(text);
}

bool LoadedPack::lend_to(git_odb* odb) const {
    auto backend = std::make_unique<Backend>();
    if (git_odb_init_backend(backend.get(), GIT_ODB_BACKEND_VERSION) != 0) {
        return false;
    }
    backend->pack = this;
    backend->read = Backend::read_all;
    backend->read_header = Backend::read_head;
    backend->exists = Backend::has;
    backend->free = Backend::destroy;
    if (git_odb_add_backend(odb, backend.get(), first_of_all) != 0) {
        return false;
    }
    static_cast<void>(backend.release());  // the odb's now
    return true;
}

}  // namespace antipode::git
