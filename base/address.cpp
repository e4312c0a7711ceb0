#include "base/address.hpp"

#include <algorithm>
#include <charconv>

namespace antipode {
namespace {

bool is_clean(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = failure == std::errc{} && end == text.data() + text.size() && !text.empty();
    return good ? std::optional(value) : std::nullopt;
}

/// What stands behind the scheme; nullopt: another one.
std::optional<std::string_view> behind(std::string_view text, std::string_view scheme) {
    return text.starts_with(scheme) ? std::optional(text.substr(scheme.size())) : std::nullopt;
}

}  // namespace

std::optional<HostPort> HostPort::parse(std::string_view text) {
    HostPort parsed;
    std::string_view rest;
    if (text.starts_with('[')) {
        const size_t close = text.find(']');
        if (close == std::string_view::npos) {
            return std::nullopt;
        }
        parsed.host = text.substr(1, close - 1);
        rest = text.substr(close + 1);
    } else {
        const size_t colon = std::min(text.find(':'), text.size());
        parsed.host = text.substr(0, colon);
        rest = text.substr(colon);
    }
    if (!rest.empty()) {
        parsed.port = rest[0] == ':' ? parse_port(rest.substr(1)) : std::nullopt;
        if (!parsed.port) {
            return std::nullopt;
        }
    }
    const bool clean =
        is_clean(parsed.host) && parsed.host.find_first_of("@/?#") == std::string::npos;
    return parsed.host.empty() || !clean ? std::nullopt : std::optional(parsed);
}

bool is_loopback(std::string_view host) {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::optional<std::string> why_no_nats_url(std::string_view text) {
    const std::string form = "must be nats://host:4222";
    const auto plain = behind(text, "nats://");
    const auto rest = plain ? plain : behind(text, "tls://");
    if (!rest) {
        return form;
    }
    const size_t user = rest->rfind('@');
    const auto address =
        HostPort::parse(user == std::string_view::npos ? *rest : rest->substr(user + 1));
    const bool good = is_clean(text) && address && address->port.value_or(1) != 0;
    return good ? std::nullopt : std::optional(form);
}

std::string without_user(const std::string& url) {
    const size_t scheme = url.find("://");
    const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
    const size_t at = url.rfind('@');
    return at == std::string::npos || at < begin ? url : url.substr(0, begin) + url.substr(at + 1);
}

std::optional<std::string> why_no_daemon_url(std::string_view text) {
    if (text.starts_with("https://")) {
        return "must be http://host:8840: this version speaks no https; put it through a tunnel "
               "(WireGuard, stunnel)";
    }
    const auto rest = behind(text, "http://");
    const auto address =
        rest ? HostPort::parse(rest->substr(0, rest->find_first_of("/?#"))) : std::nullopt;
    const bool good = is_clean(text) && address && address->port.value_or(1) != 0 &&
                      text.find_first_of("?#") == std::string_view::npos;
    if (!good) {
        return "must be http://host:8840";
    }
    return text.ends_with('/') ? std::optional<std::string>("must not end with a slash")
                               : std::nullopt;
}

std::optional<std::string> why_no_listen_address(std::string_view text) {
    const auto address = HostPort::parse(text);
    return address && address->port ? std::nullopt
                                    : std::optional<std::string>(
                                          "must be host:port, such as "
                                          "127.0.0.1:8840 or [::1]:8840");
}

std::optional<std::string> why_no_bucket_endpoint(std::string_view text) {
    const auto secure = behind(text, "https://");
    const auto rest = secure ? secure : behind(text, "http://");
    const auto address = rest ? HostPort::parse(*rest) : std::nullopt;
    const bool good = is_clean(text) && address && address->port.value_or(1) != 0;
    return good ? std::nullopt
                : std::optional<std::string>(
                      "must be https://host or http://host:9000, without "
                      "user, path and slash at its end");
}

std::optional<std::string> why_no_bucket_name(std::string_view text) {
    const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    });
    const bool good = clean && !text.empty() && text.size() <= 63 && text != "." && text != "..";
    return good ? std::nullopt
                : std::optional<std::string>("must be 1 to 63 of letters, digits, ., _ and -");
}

}  // namespace antipode
