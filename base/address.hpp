#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Addresses as operators write them. Pure: no name is resolved.
namespace antipode {

struct HostPort {
    std::string host;  ///< without the brackets of an IPv6 address
    std::optional<uint16_t> port;

    /// "host", "host:port", "[v6]", "[v6]:port". nullopt when it is none of them.
    static std::optional<HostPort> parse(std::string_view text);
};

/// Only this machine reaches what listens there: 127.0.0.0/8, ::1, localhost.
bool is_loopback(std::string_view host);

/// Why `text` is no URL of a nats-server: "nats://[user[:password]@]host[:port]", or tls://;
/// nullopt: it is one.
std::optional<std::string> why_no_nats_url(std::string_view text);
/// The URL without user and password, to be shown.
std::string without_user(const std::string& url);
/// Why `text` is no URL of an antipoded: "http://host[:port][/path]", without a slash at its end.
std::optional<std::string> why_no_daemon_url(std::string_view text);
/// Why nothing can listen on `text`: "host:port", "[v6]:port".
std::optional<std::string> why_no_listen_address(std::string_view text);
/// Why `text` is no address of an S3-compatible server: "https://host[:port]", or http://, without
/// a path.
std::optional<std::string> why_no_bucket_endpoint(std::string_view text);
/// Why no bucket can have this name: 1 to 63 of letters, digits, '.', '_' and '-'.
std::optional<std::string> why_no_bucket_name(std::string_view text);

}  // namespace antipode
