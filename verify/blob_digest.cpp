#include "verify/blob_digest.hpp"

namespace antipode::verify {
namespace {

constexpr const char* algorithm = "blob-1";

}  // namespace

Digest blob_digest(const Sha256& content, uint64_t size) {
    std::string value(view(content));
    for (int shift = 56; shift >= 0; shift -= 8) {
        value += static_cast<char>((size >> shift) & 0xff);
    }
    return {algorithm, value};
}

std::optional<BlobContent> blob_content(const Digest& digest) {
    BlobContent content;
    constexpr size_t length = sizeof(Sha256) + sizeof(content.size);
    if (digest.algorithm != algorithm || digest.value.size() != length) {
        return std::nullopt;
    }
    content.hash = *sha256_from_bytes(digest.value.substr(0, sizeof(Sha256)));
    for (size_t at = sizeof(Sha256); at < length; ++at) {
        content.size = content.size << 8 | static_cast<unsigned char>(digest.value[at]);
    }
    return content;
}

Digest directory_digest() {
    return {"directory-1", "/"};
}

}  // namespace antipode::verify
