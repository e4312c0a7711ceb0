#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

/// The small texts of HTTP: addresses, percent-encoding, byte ranges. Pure.
namespace antipode::http {

/// "http://host[:port][/path]", taken apart.
struct Url {
    std::string host;  ///< without the brackets of an IPv6 address
    uint16_t port = 80;
    std::string target = "/";  ///< path and query, percent-encoded as they came

    /// What the Host header says.
    std::string authority() const;
    /// Throws Error{Stop} that names the text when it is no http:// address. https:// is refused
    /// with the remedy: this version speaks plain HTTP, a tunnel encrypts it.
    static Url parse(std::string_view text);
};

/// "host:port" of a listening address, "[::1]:8840" for IPv6; port 0 takes any free one. nullopt
/// when it is neither.
struct ListenAddress {
    std::string host;
    uint16_t port = 0;
    static std::optional<ListenAddress> parse(std::string_view text);
};

/// RFC 3986: everything but unreserved characters becomes %XX; '/' stays.
std::string percent_encode(std::string_view bytes);
/// nullopt for a '%' without two hexadecimal digits. '+' is a plus.
std::optional<std::string> percent_decode(std::string_view text);

/// A request target: "/a/b?x=1&y=2" decoded. The last of several equal names counts.
struct Target {
    std::string path;
    std::map<std::string, std::string> query;
    /// nullopt when the encoding is broken or it does not begin with '/'.
    static std::optional<Target> parse(std::string_view text);
};

/// The part of a representation that a Range header asks for.
struct ByteRange {
    uint64_t first = 0;
    uint64_t length = 0;
};
/// RFC 9110, section 14: one range of bytes against a representation of `size` bytes.
struct RangeAnswer {
    enum class Kind {
        Whole,          ///< no header, or one that is to be ignored: answer 200
        Part,           ///< answer 206
        Unsatisfiable,  ///< answer 416
    };
    Kind kind = Kind::Whole;
    ByteRange range;
};
RangeAnswer parse_range(std::string_view header, uint64_t size);

}  // namespace antipode::http
