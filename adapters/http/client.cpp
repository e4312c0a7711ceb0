#include "adapters/http/client.hpp"

#include <algorithm>
#include <vector>

#include "adapters/http/rate_limit.hpp"
#include "adapters/http/socket.hpp"
#include "adapters/http/url.hpp"
#include "adapters/http/wire.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"

namespace antipode::http {
namespace {

using std::chrono::steady_clock;

constexpr size_t chunk_bytes = 128 * limits::kib;
constexpr size_t small_answer_bytes = 64 * limits::mib;
constexpr size_t error_text_bytes = 300;

std::string request_head(const Url& url, const std::string& target, const std::string& token,
                         uint64_t offset) {
    std::string text = "GET " + target + " HTTP/1.1\r\nHost: " + url.authority() +
                       "\r\nConnection: close\r\nUser-Agent: antipode\r\n";
    if (!token.empty()) {
        text += "Authorization: Bearer " + token + "\r\n";
    }
    if (offset > 0) {
        text += "Range: bytes=" + std::to_string(offset) + "-\r\n";
    }
    return text + "\r\n";
}

std::string target_of(const Url& base, const BulkRequest& request) {
    std::string target = base.target;
    while (target.ends_with('/')) {
        target.pop_back();
    }
    target += "/v1/bulk/" + percent_encode(request.path);
    char separator = '?';
    for (const auto& [name, value] : request.query) {
        target += separator + percent_encode(name) + "=" + percent_encode(value);
        separator = '&';
    }
    return target;
}

/// The number behind the '/' of a Content-Range.
std::optional<uint64_t> total_of(const ResponseHead& head) {
    const auto range = head.headers.find("content-range");
    if (range == head.headers.end()) {
        return std::nullopt;
    }
    const size_t slash = range->second.find('/');
    const std::string text =
        slash == std::string::npos ? std::string() : range->second.substr(slash + 1);
    if (text.empty() || text.size() > 19 ||
        text.find_first_not_of("0123456789") != std::string::npos) {
        return std::nullopt;
    }
    return std::stoull(text);
}

/// Small under a small cap, so that pauses stay short.
size_t chunk_size(uint64_t bytes_per_second) {
    return bytes_per_second == 0 ? chunk_bytes
                                 : std::clamp<size_t>(bytes_per_second / 8, 1024, chunk_bytes);
}

Error refused(const ResponseHead& head, ResponseReader& reader) {
    std::vector<char> text(error_text_bytes);
    const size_t size = reader.read(text);
    const bool denied = head.status == 401 || head.status == 403;
    return {Reaction::Retry,
            "the primary answered " + std::to_string(head.status) + ": " +
                printable(std::string_view(text.data(), size)),
            denied ? "the same http.token_file on both sites" : ""};
}

HttpAnswer read_small_answer(Socket& socket, const std::string& from) {
    ResponseReader reader(socket, false);
    HttpAnswer answer{reader.head().status, {}};
    std::vector<char> buffer(chunk_bytes);
    while (const size_t count = reader.read(buffer)) {
        answer.body.append(buffer.data(), count);
        if (answer.body.size() > small_answer_bytes) {
            throw Error(Reaction::Stop, "the answer from " + from + " is too large");
        }
    }
    return answer;
}

}  // namespace

struct HttpBulkSource::State {
    explicit State(const Options& given)
        : options(given), url(Url::parse(given.url)), limit(given.bytes_per_second) {}

    Options options;
    Url url;
    RateLimit limit;
};

HttpBulkSource::HttpBulkSource(const Options& options) : state_(new State(options)) {}
HttpBulkSource::~HttpBulkSource() = default;

BulkSource::Answer HttpBulkSource::get(const BulkRequest& request, uint64_t offset,
                                       const Headers& on_headers, const Sink& sink,
                                       const std::stop_token& stop) {
    const Options& options = state_->options;
    Socket socket =
        Socket::connect(state_->url.host, state_->url.port, options.connect_timeout, stop);
    socket.set_timeout(options.read_timeout);
    socket.write(request_head(state_->url, target_of(state_->url, request), options.token, offset));
    ResponseReader reader(socket, false);
    const ResponseHead head = reader.head();
    if (head.status == 404) {
        return {};
    }
    const bool nothing_left = head.status == 416 && total_of(head) == offset;
    if (head.status != 200 && head.status != 206 && !nothing_left) {
        throw refused(head, reader);
    }
    Answer answer{true, head.status == 200 ? head.content_length : total_of(head), head.headers};
    if (on_headers) {
        on_headers(answer);
    }
    // A body of unknown size has no ranges: it comes from its beginning.
    uint64_t to_skip = head.status == 200 ? offset : 0;
    std::vector<char> buffer(chunk_size(options.bytes_per_second));
    size_t count = 0;
    while (!nothing_left && (count = reader.read(buffer)) > 0) {
        const size_t skipped = std::min<uint64_t>(to_skip, count);
        to_skip -= skipped;
        if (skipped < count) {
            sink(std::string_view(buffer.data() + skipped, count - skipped));
        }
        const auto pause = state_->limit.take(count, steady_clock::now());
        if (sleep_unless_stopped(std::chrono::ceil<std::chrono::milliseconds>(pause), stop)) {
            throw Stopped{};
        }
    }
    return answer;
}

HttpAnswer http_get(const std::string& url_text, std::chrono::milliseconds timeout,
                    const std::string& token) {
    const Url url = Url::parse(url_text);
    const auto deadline = steady_clock::now() + timeout;
    Socket socket = Socket::connect(url.host, url.port, timeout, {});
    socket.set_timeout(timeout);
    socket.set_deadline(deadline);
    socket.write(request_head(url, url.target, token, 0));
    return read_small_answer(socket, url_text);
}

HttpAnswer http_post(const std::filesystem::path& file, const std::string& target,
                     const std::string& body, std::chrono::milliseconds timeout) {
    Socket socket = Socket::connect(file, {});
    socket.set_timeout(timeout);
    socket.set_deadline(steady_clock::now() + timeout);
    socket.write("POST " + target +
                 " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
    return read_small_answer(socket, file.string());
}

}  // namespace antipode::http
