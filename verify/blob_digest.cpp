#include "verify/blob_digest.hpp"

namespace antipode::verify {

Digest blob_digest(const Sha256& content, uint64_t size) {
    std::string value(view(content));
    for (int shift = 56; shift >= 0; shift -= 8) {
        value += static_cast<char>((size >> shift) & 0xff);
    }
    return {"blob-1", value};
}

Digest directory_digest() {
    return {"directory-1", "/"};
}

}  // namespace antipode::verify
