#include "adapters/git/pack_writer.hpp"

#include <new>

#include <libdeflate.h>

#include "base/digest.hpp"
#include "base/handle.hpp"

namespace antipode::git {
namespace {

/// Small objects come out smaller than at zlib's usual one, in a third of its time.
constexpr int level = 3;

class Deflater {
  public:
    Deflater() : deflater_(libdeflate_alloc_compressor(level)) {
        if (!deflater_) {
            throw std::bad_alloc();
        }
    }
    std::string deflate(std::string_view content) {
        std::string packed(libdeflate_zlib_compress_bound(deflater_.get(), content.size()), '\0');
        packed.resize(libdeflate_zlib_compress(deflater_.get(), content.data(), content.size(),
                                               packed.data(), packed.size()));
        return packed;
    }

  private:
    const Handle<libdeflate_compressor, libdeflate_free_compressor> deflater_;
};

/// The type, and the size: four bits of it, then seven a byte, the lowest first.
std::string head_of(const PackedObject& object) {
    size_t size = object.content.size();
    unsigned byte = static_cast<unsigned>(object.type) << 4 | (size & 15);
    std::string bytes;
    for (size >>= 4; size > 0; size >>= 7) {
        bytes += static_cast<char>(byte | 0x80);
        byte = size & 0x7f;
    }
    return bytes + static_cast<char>(byte);
}

}  // namespace

std::string write_pack(std::span<const PackedObject> objects) {
    Deflater deflater;
    std::string pack = "PACK";
    append_number(pack, 2);
    append_number(pack, static_cast<uint32_t>(objects.size()));
    for (const PackedObject& object : objects) {
        pack += head_of(object);
        pack += deflater.deflate(object.content);
    }
    return pack + sha1(pack);
}

}  // namespace antipode::git
