#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace antipode {

/// SHA-256 (FIPS 180-4), through OpenSSL's EVP interface.
using Sha256 = std::array<uint8_t, 32>;

Sha256 sha256(std::string_view bytes);

/// SHA-1, raw, of `head` and what follows it: only for formats that have it, where nobody forges.
std::string sha1(std::string_view head, std::string_view rest = {});

class Sha256Stream {
  public:
    Sha256Stream();
    ~Sha256Stream();
    Sha256Stream(Sha256Stream&&) noexcept;
    Sha256Stream& operator=(Sha256Stream&&) noexcept;
    void update(std::string_view bytes);
    /// Ends the stream; call it once.
    Sha256 finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

inline std::string_view view(const Sha256& hash) {
    return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}
/// nullopt unless `bytes` has exactly 32 bytes.
std::optional<Sha256> sha256_from_bytes(std::string_view bytes);

/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
inline std::string to_hex(const Sha256& hash) {
    return to_hex(view(hash));
}
/// nullopt for an odd length or a character that is no hexadecimal digit.
std::optional<std::string> from_hex(std::string_view hex);

/// A name for people: printable UTF-8 stays, every other byte, backslash included, becomes \xNN.
/// Item names are raw bytes; never print or log them without this.
std::string printable(std::string_view bytes);

/// A checksum that names its algorithm and version, so that a later algorithm is never compared
/// with an older one. Written "algorithm:hex", for example "refs-1:9f86...".
struct Digest {
    std::string algorithm;  ///< "blob-1", "refs-1", ...: algorithm and version
    std::string value;      ///< raw bytes

    bool operator==(const Digest&) const = default;
    bool empty() const { return algorithm.empty(); }
    std::string to_string() const { return empty() ? "-" : algorithm + ":" + to_hex(value); }
};

}  // namespace antipode
