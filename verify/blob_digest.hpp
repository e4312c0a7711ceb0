#pragma once

#include <cstdint>
#include <optional>

#include "base/digest.hpp"

namespace antipode::verify {

/// "blob-1", the digest of a file: 40 bytes, the SHA-256 of its content and its size as a
/// big-endian number of 8 bytes. Mode and times are mirrored but are no part of it: they differ
/// legitimately (a site may need other permissions), and wrong ones lose nobody's data.
Digest blob_digest(const Sha256& content, uint64_t size);

struct BlobContent {
    Sha256 hash{};
    uint64_t size = 0;
};
/// What such a digest is of; nullopt: it is another one.
std::optional<BlobContent> blob_content(const Digest& digest);

/// "directory-1", the digest of a directory that is an item of its own: the one byte '/'. It is
/// there, and that is all; its mode is no part of it, as a file's is not.
Digest directory_digest();

}  // namespace antipode::verify
