#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace antipode::protocol {

/// zstd, level 1 (RFC 8878). nullopt when the result would not be smaller by at least an eighth.
std::optional<std::string> compress(std::string_view bytes);

/// Decodes exactly `size` bytes. nullopt when `bytes` is no zstd frame, decodes to another size, or
/// breaks limits::codec_ratio. Allocates no more than `size`.
std::optional<std::string> decompress(std::string_view bytes, size_t size);

}  // namespace antipode::protocol
