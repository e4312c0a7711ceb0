#include "adapters/http/url.hpp"

#include <algorithm>
#include <charconv>

#include "base/address.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::http {
namespace {

std::optional<uint64_t> parse_number(std::string_view text) {
    uint64_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || end != text.data() + text.size() || text.empty()) {
        return std::nullopt;
    }
    return value;
}

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string Url::authority() const {
    const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    return port == 80 ? name : name + ":" + std::to_string(port);
}

Url Url::parse(std::string_view text) {
    constexpr std::string_view scheme = "http://";
    if (text.starts_with("https://")) {
        throw Error(Reaction::Stop, "https is not spoken by this version: " + printable(text),
                    "an encrypted tunnel (WireGuard, stunnel) and the http:// address of its end");
    }
    if (text.starts_with(scheme)) {
        const std::string_view rest = text.substr(scheme.size());
        const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
        if (const auto parsed = HostPort::parse(rest.substr(0, slash))) {
            Url url;
            url.host = parsed->host;
            url.port = parsed->port.value_or(80);
            url.target = rest.substr(slash);
            if (!url.target.starts_with('/')) {
                url.target.insert(0, "/");
            }
            const bool clean = std::all_of(url.target.begin(), url.target.end(),
                                           [](char c) { return c > ' ' && c < '\x7f'; });
            if (clean && url.port != 0) {
                return url;
            }
        }
    }
    throw Error(Reaction::Stop, "no http:// address: \"" + printable(text) + "\"",
                "an address such as http://host:8840");
}

std::optional<ListenAddress> ListenAddress::parse(std::string_view text) {
    const auto parsed = HostPort::parse(text);
    if (!parsed || !parsed->port) {
        return std::nullopt;
    }
    return ListenAddress{parsed->host, *parsed->port};
}

std::string percent_encode(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        if (is_unreserved(c) || c == '/') {
            text += c;
        } else {
            text += "%" + to_hex(std::string_view(&c, 1));
        }
    }
    return text;
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string bytes;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            bytes += text[i];
            continue;
        }
        const auto byte =
            i + 2 < text.size() ? from_hex(text.substr(i + 1, 2)) : std::optional<std::string>();
        if (!byte) {
            return std::nullopt;
        }
        bytes += *byte;
        i += 2;
    }
    return bytes;
}

std::optional<Target> Target::parse(std::string_view text) {
    const size_t question = std::min(text.find('?'), text.size());
    const auto path = percent_decode(text.substr(0, question));
    if (!path || !path->starts_with('/')) {
        return std::nullopt;
    }
    Target target{*path, {}};
    std::string_view rest = text.substr(std::min(question + 1, text.size()));
    while (!rest.empty()) {
        const size_t end = std::min(rest.find('&'), rest.size());
        const std::string_view pair = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const size_t equals = std::min(pair.find('='), pair.size());
        const auto name = percent_decode(pair.substr(0, equals));
        const auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
        if (!name || !value) {
            return std::nullopt;
        }
        target.query[*name] = *value;
    }
    return target;
}

RangeAnswer parse_range(std::string_view header, uint64_t size) {
    using Kind = RangeAnswer::Kind;
    constexpr std::string_view unit = "bytes=";
    const size_t dash = header.find('-');
    // What is no single, well-formed range of bytes is ignored, as the RFC allows.
    if (!header.starts_with(unit) || dash == std::string_view::npos) {
        return {};
    }
    const std::string_view first_text = header.substr(unit.size(), dash - unit.size());
    const std::string_view last_text = header.substr(dash + 1);
    const auto first = parse_number(first_text);
    const auto last = parse_number(last_text);
    if (first_text.empty() && last) {
        const uint64_t length = std::min(*last, size);
        return length == 0 ? RangeAnswer{Kind::Unsatisfiable, {}}
                           : RangeAnswer{Kind::Part, {size - length, length}};
    }
    if (!first || (!last_text.empty() && (!last || *last < *first))) {
        return {};
    }
    if (*first >= size) {
        return {Kind::Unsatisfiable, {}};
    }
    const uint64_t end = last ? std::min(*last, size - 1) : size - 1;
    return {Kind::Part, {*first, end - *first + 1}};
}

}  // namespace antipode::http
