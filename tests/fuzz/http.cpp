#include "adapters/http/url.hpp"
#include "adapters/http/zstd_stream.hpp"
#include "tests/fuzz/parser.hpp"

namespace antipode::fuzz {
namespace {

void read_url(std::string_view bytes) {
    http::Url url;
    if (is_read([&] { url = http::Url::parse(bytes); })) {
        require(url.target.starts_with('/') && url.port != 0, "a URL has a target and a port");
        const http::Url again = http::Url::parse("http://" + url.authority() + url.target);
        require(again.host == url.host && again.port == url.port && again.target == url.target,
                "a URL is read again");
    }
    const auto listens = http::ListenAddress::parse(bytes);
    require(!listens || !listens->host.empty(), "what is listened on has a host");
}

void read_target(std::string_view bytes) {
    require(http::percent_decode(http::percent_encode(bytes)) == bytes, "encoded bytes come back");
    if (const auto target = http::Target::parse(bytes)) {
        std::string again = http::percent_encode(target->path) + "?";
        for (const auto& [name, value] : target->query) {
            again += http::percent_encode(name) + "=" + http::percent_encode(value) + "&";
        }
        const auto same = http::Target::parse(again);
        require(same && same->path == target->path && same->query == target->query,
                "a target is read again");
    }
}

void read_range(std::string_view bytes) {
    for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, UINT64_MAX}) {
        const http::RangeAnswer answer = http::parse_range(bytes, size);
        const auto& range = answer.range;
        require(answer.kind != http::RangeAnswer::Kind::Part ||
                    (range.length > 0 && range.first < size && range.length <= size - range.first),
                "a range lies in the whole");
    }
    static_cast<void>(http::accepts_zstd(bytes));
}

/// In two pieces; the first byte says how much is expected.
void read_zstd(std::string_view bytes) {
    if (bytes.empty()) {
        return;
    }
    const uint64_t wanted = static_cast<unsigned char>(bytes.front()) * uint64_t{16};
    const std::string_view coded = bytes.substr(1);
    uint64_t decoded = 0;
    const auto use = [&](std::string_view part) { decoded += part.size(); };
    const bool good = is_read([&] {
        http::ZstdDecoder decoder(wanted);
        decoder.decode(coded.substr(0, coded.size() / 2), use);
        decoder.decode(coded.substr(coded.size() / 2), use);
        decoder.finish();
    });
    require(decoded <= wanted, "no more is decoded than was asked for");
    require(!good || decoded == wanted, "nothing less is taken for the whole");
}

std::vector<std::string> zstd_seeds() {
    http::ZstdEncoder encoder;
    const std::string plain(size_t{16} * 16, 'a');
    return {"\x10" + encoder.encode(plain, true)};
}

}  // namespace

std::vector<Parser> http_parsers() {
    return {
        {"http/range", read_range,
         [] {
             return std::vector<std::string>{"bytes=0-499", "bytes=-5", "bytes=500-",
                                             "gzip;q=0.5, zstd;q=0"};
         }},
        {"http/target", read_target,
         [] {
             return std::vector<std::string>{"/a/b%20c?x=1&y=%2F", "/v1/status"};
         }},
        {"http/url", read_url,
         [] {
             return std::vector<std::string>{"http://host:8840/path?x", "http://[::1]",
                                             "[::1]:8840"};
         }},
        {"http/zstd", read_zstd, zstd_seeds},
    };
}

}  // namespace antipode::fuzz
