#pragma once

#include <cstdint>
#include <string>

namespace antipode::test {

/// Less than 64 KiB as zlib(3) writes them where nothing is compressed: what a test needs to make
/// objects and packs that git would not.
inline std::string zlib_stream(const std::string& bytes) {
    uint32_t low = 1;
    uint32_t high = 0;
    for (const unsigned char byte : bytes) {
        low = (low + byte) % 65521;
        high = (high + low) % 65521;
    }
    std::string stream = "\x78\x01\x01";
    for (const size_t length : {bytes.size(), bytes.size() ^ 0xffff}) {
        stream += static_cast<char>(length & 0xff);
        stream += static_cast<char>(length >> 8);
    }
    stream += bytes;
    for (const uint32_t sum : {high, low}) {
        stream += static_cast<char>(sum >> 8);
        stream += static_cast<char>(sum & 0xff);
    }
    return stream;
}

}  // namespace antipode::test
