#include "adapters/git/loaded_pack.hpp"
#include "base/digest.hpp"
#include "tests/fuzz/parser.hpp"
#include "tests/support/zlib_stream.hpp"

namespace antipode::fuzz {
namespace {

using git::LoadedPack;

/// The bytes before the checksum, which is made to fit: else nothing would get any further.
void read_pack(std::string_view bytes) {
    const auto pack = LoadedPack::load(std::string(bytes) + sha1(bytes), {100, 1 << 20});
    if (!pack) {
        return;
    }
    const std::string index = pack->index();
    require(pack->size() > 0 && pack->size() <= 100, "a pack has no more objects than are allowed");
    require(index.size() == 8 + 1024 + pack->size() * 28 + 40, "an index names each object once");
    for (size_t i = 0; i < pack->size(); ++i) {
        const auto* const object = pack->find(index.substr(8 + 1024 + i * 20, 20));
        require(object != nullptr && object->offset < bytes.size(), "what is named is there");
        const char* const type = object->type == git::ObjectType::Commit ? "commit"
                                 : object->type == git::ObjectType::Tree ? "tree"
                                                                    : "tag";
        require(object->type == git::ObjectType::Blob ||
                    sha1(type + (" " + std::to_string(object->size)) + '\0', object->content) ==
                        object->oid,
                "an object is what its name says");
    }
}

/// Of less than 16 bytes.
std::string entry(int type, const std::string& base, const std::string& bytes) {
    return static_cast<char>(type << 4 | static_cast<int>(bytes.size())) + base +
           test::zlib_stream(bytes);
}

std::string head(size_t objects) {
    return std::string("PACK\0\0\0\2\0\0\0", 11) + static_cast<char>(objects);
}

std::vector<std::string> pack_seeds() {
    const std::string blob = entry(3, "", "hello, world");
    // Copies seven bytes from the beginning, and puts "Ada" behind them.
    const std::string difference = std::string("\x0c\x0a\x90\x07\x03", 5) + "Ada";
    const std::string by_offset =
        entry(6, std::string(1, static_cast<char>(blob.size())), difference);
    const std::string base = sha1(std::string("blob 12\0", 8), "hello, world");
    return {head(1) + entry(2, "", ""), head(2) + entry(1, "", "tree x") + entry(4, "", "object x"),
            head(2) + blob + by_offset, head(2) + entry(7, base, difference) + blob};
}

}  // namespace

std::vector<Parser> git_parsers() {
    return {{"git/pack", read_pack, pack_seeds}};
}

}  // namespace antipode::fuzz
