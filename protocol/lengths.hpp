#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What the bulk service sends in one body, record after record, has lengths before the records:
/// four bytes, big-endian.
namespace antipode::protocol {

inline constexpr size_t length_bytes = 4;

inline void append_length(std::string& bytes, uint32_t length) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        bytes += static_cast<char>(length >> shift);
    }
}

/// nullopt: there are fewer than four bytes.
inline std::optional<uint32_t> read_length(std::string_view bytes) {
    if (bytes.size() < length_bytes) {
        return std::nullopt;
    }
    uint32_t length = 0;
    for (const char byte : bytes.substr(0, length_bytes)) {
        length = length << 8 | static_cast<unsigned char>(byte);
    }
    return length;
}

}  // namespace antipode::protocol
