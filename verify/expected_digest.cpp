#include "verify/expected_digest.hpp"

#include "base/files.hpp"
#include "verify/blob_digest.hpp"
#include "verify/refs.hpp"

namespace antipode::verify {

Digest expected_digest(const v1::Payload& payload) {
    if (payload.has_ref_update()) {
        return {std::string(refs_algorithm), payload.ref_update().digest_after()};
    }
    if (payload.has_blob_put()) {
        if (names_directory(payload.blob_put().path())) {
            return directory_digest();
        }
        const v1::Content& content = payload.blob_put().content();
        const auto hash = sha256_from_bytes(content.sha256());
        return hash ? blob_digest(*hash, content.size()) : Digest{};
    }
    return {};
}

}  // namespace antipode::verify
