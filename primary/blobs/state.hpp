#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.hpp"
#include "base/seams/files.hpp"

namespace antipode::primary {

/// What is remembered of a published file (Published::state), to see without reading it whether it
/// changed. Encoded as 78 bytes, numbers big-endian:
///
///     1  version, 1
///     1  1 = settled
///     8  size        8  mtime, ns      8  ctime, ns      8  inode
///     4  mode       32  SHA-256 of the content    8  reserved, 0
struct BlobState {
    FileStat stat;  ///< type and device are not kept
    Sha256 hash{};
    /// False: the file was changed so shortly before it was read that a later change could carry
    /// the same time stamps (the clock of a file system ticks every few milliseconds), or while it
    /// was read. The stat alone then proves nothing.
    bool settled = false;

    std::string encode() const;
    static std::optional<BlobState> decode(std::string_view bytes);

    /// Whether a file that looks like this has the content that was published.
    bool proves_unchanged(const FileStat& now) const;
};

/// Content.pull of a blob: where the primary finds the content. The hash in the event decides
/// whether it is the right one. Encoded as version (1 byte, 1), size and inode (8 bytes each,
/// big-endian), path.
struct BlobReference {
    std::string path;
    uint64_t size = 0;
    uint64_t inode = 0;

    std::string encode() const;
    static std::optional<BlobReference> decode(std::string_view bytes);
};

}  // namespace antipode::primary
