#include "adapters/http/client.hpp"

#include <algorithm>
#include <exception>
#include <regex>
#include <span>
#include <vector>

#include "adapters/http/rate_limit.hpp"
#include "adapters/http/socket.hpp"
#include "adapters/http/url.hpp"
#include "adapters/http/wire.hpp"
#include "adapters/http/zstd_stream.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode::http {
namespace {

using std::chrono::steady_clock;

constexpr size_t small_answer_bytes = 64 * limits::mib;
constexpr size_t error_text_bytes = 300;
/// Connections that are kept for the next pulls, and how long: less than the server keeps them.
constexpr size_t most_kept = 16;
constexpr std::chrono::seconds kept_for(10);

std::string request_text(const Url& url, const std::string& target, const std::string& token,
                         const std::string& more, const std::string& posted = {}) {
    std::string text = (posted.empty() ? "GET " : "POST ") + target +
                       " HTTP/1.1\r\nHost: " + url.authority() + "\r\nUser-Agent: antipode\r\n" +
                       more;
    if (!token.empty()) {
        text += "Authorization: Bearer " + token + "\r\n";
    }
    if (!posted.empty()) {
        text += "Content-Length: " + std::to_string(posted.size()) + "\r\n";
    }
    return text + "\r\n" + posted;
}

std::string range_head(const BulkSource::Range& range) {
    if (range.offset == 0 && range.is_open()) {
        return {};
    }
    const std::string last =
        range.is_open() ? std::string() : std::to_string(range.offset + range.length - 1);
    return "Range: bytes=" + std::to_string(range.offset) + "-" + last +
           "\r\nAccept-Encoding: zstd\r\n";
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

/// "blobs/uploads/inventory/sums"
bool is_of_inventory(const BulkRequest& request) {
    const size_t name = request.path.find('/');
    const size_t what = name == std::string::npos ? name : request.path.find('/', name + 1);
    return what != std::string::npos && request.path.substr(what).starts_with("/inventory");
}

std::optional<uint64_t> number_of(const std::string& text) {
    const bool is_number = !text.empty() && text.size() <= 19 &&
                           text.find_first_not_of("0123456789") == std::string::npos;
    return is_number ? std::optional<uint64_t>(std::stoull(text)) : std::nullopt;
}

/// What a header Content-Range says (RFC 9110, section 14.4), as far as it can be understood.
struct ContentRange {
    std::optional<uint64_t> first;
    std::optional<uint64_t> last;
    std::optional<uint64_t> total;
};

ContentRange content_range(const ResponseHead& head) {
    const auto found = head.headers.find("content-range");
    std::smatch parts;
    static const std::regex form("bytes (?:(\\d+)-(\\d+)|\\*)/(\\d+|\\*)");
    if (found == head.headers.end() || !std::regex_match(found->second, parts, form)) {
        return {};
    }
    return {number_of(parts[1]), number_of(parts[2]), number_of(parts[3])};
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

/// Fills the whole buffer unless the body ends: of what is written in pieces that are no whole
/// pages, the kernel clears the rest of each page first. What came before a failure is
/// given first.
class FullReads {
  public:
    explicit FullReads(ResponseReader& reader) : reader_(reader) {}

    size_t read(std::span<char> buffer) {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        size_t size = 0;
        try {
            while (size < buffer.size()) {
                const size_t count = reader_.read(buffer.subspan(size));
                if (count == 0) {
                    break;
                }
                size += count;
            }
        } catch (...) {
            if (size == 0) {
                throw;
            }
            failure_ = std::current_exception();
        }
        return size;
    }

  private:
    ResponseReader& reader_;
    std::exception_ptr failure_;
};

HttpAnswer read_small_answer(Socket& socket, const std::string& from) {
    ResponseReader reader(socket, false);
    HttpAnswer answer{reader.head().status, {}};
    std::vector<char> buffer(chunk_size(0));
    while (const size_t count = reader.read(buffer)) {
        answer.body.append(buffer.data(), count);
        if (answer.body.size() > small_answer_bytes) {
            throw Error(Reaction::Stop, "the answer from " + from + " is too large");
        }
    }
    return answer;
}

}  // namespace

/// One request and its answer on a connection.
class HttpBulkSource::Exchange {
  public:
    Exchange(Socket connection, const std::string& request)
        : socket(std::move(connection)), reader(socket, false) {
        socket.write(request);
        head = reader.head();
    }
    Socket socket;
    ResponseReader reader;
    ResponseHead head;
};

struct HttpBulkSource::State {
    explicit State(const Options& given) : options(given), url(Url::parse(given.url)) {}

    struct Kept {
        Socket socket;
        steady_clock::time_point since;
    };

    std::optional<Socket> take_kept() {
        return kept.with([](std::vector<Kept>& all) -> std::optional<Socket> {
            const auto oldest = steady_clock::now() - kept_for;
            std::erase_if(all, [&](const Kept& one) { return one.since < oldest; });
            if (all.empty()) {
                return std::nullopt;
            }
            Socket socket = std::move(all.back().socket);
            all.pop_back();
            return socket;
        });
    }
    void keep(Socket socket) {
        kept.with([&](std::vector<Kept>& all) {
            if (all.size() < most_kept) {
                all.push_back({std::move(socket), steady_clock::now()});
            }
        });
    }

    Options options;
    Url url;
    Synchronized<std::vector<Kept>> kept;  ///< connections for the next requests
    Synchronized<Traffic> traffic;
};

HttpBulkSource::HttpBulkSource(const Options& options) : state_(new State(options)) {}
HttpBulkSource::~HttpBulkSource() = default;

HttpBulkSource::Traffic HttpBulkSource::traffic() const {
    return state_->traffic.copy();
}

std::unique_ptr<HttpBulkSource::Exchange> HttpBulkSource::ask(const BulkRequest& request,
                                                              const Range& range,
                                                              const std::stop_token& stop) {
    const Options& options = state_->options;
    const std::string text = request_text(state_->url, target_of(state_->url, request),
                                          options.token, range_head(range), request.posted);
    if (auto kept = state_->take_kept()) {
        try {
            kept->set_stop(stop);
            return std::make_unique<Exchange>(std::move(*kept), text);
        } catch (const Error&) {
            // The server has closed it meanwhile.
        }
    }
    Socket socket =
        Socket::connect(state_->url.host, state_->url.port, options.connect_timeout, stop);
    socket.set_timeout(options.read_timeout);
    return std::make_unique<Exchange>(std::move(socket), text);
}

BulkSource::Answer HttpBulkSource::get(const BulkRequest& request, Range range,
                                       const Headers& on_headers, const Sink& sink,
                                       const std::stop_token& stop) {
    const auto exchange = ask(request, range, stop);
    const ResponseHead& head = exchange->head;
    if (head.status == 404) {
        return {};
    }
    const ContentRange place = content_range(head);
    const bool nothing_left = head.status == 416 && place.total == range.offset;
    if (head.status != 200 && head.status != 206 && !nothing_left) {
        throw refused(head, exchange->reader);
    }
    if (head.status == 206 && place.first != range.offset) {
        throw Error(Reaction::Retry, "the primary answered with another range than was asked for",
                    "look at the proxy before the primary's http.listen, if there is one");
    }
    Answer answer{true, head.status == 200 ? head.content_length : place.total, head.headers};
    if (on_headers) {
        on_headers(answer);
    }
    if (!nothing_left) {
        take_body(*exchange, request, range, sink, stop);
    }
    return answer;
}

void HttpBulkSource::take_body(Exchange& exchange, const BulkRequest& request, const Range& range,
                               const Sink& sink, const std::stop_token& stop) {
    const ResponseHead& head = exchange.head;
    const ContentRange place = content_range(head);
    const bool lists = is_of_inventory(request);
    std::optional<ZstdDecoder> decoder;
    const auto coding = head.headers.find("content-encoding");
    if (coding != head.headers.end()) {
        if (coding->second != "zstd" || head.status != 206 || !place.last) {
            throw Error(Reaction::Retry, "the primary answered with the unknown coding \"" +
                                             printable(coding->second) + "\"");
        }
        decoder.emplace(*place.last - *place.first + 1);
    }
    // A body of unknown size has no ranges: it comes from its beginning.
    uint64_t to_skip = head.status == 200 ? range.offset : 0;
    uint64_t left = range.length;
    const auto use = [&](std::string_view bytes) {
        const size_t skipped = std::min<uint64_t>(to_skip, bytes.size());
        to_skip -= skipped;
        bytes = bytes.substr(skipped, left);
        left -= bytes.size();
        if (!bytes.empty()) {
            state_->traffic.with([&](Traffic& traffic) { traffic.content_bytes += bytes.size(); });
            sink(bytes);
        }
    };
    RateLimit& limit = *state_->options.limit;
    std::vector<char> buffer(chunk_size(0));
    FullReads reads(exchange.reader);
    const auto next = [&] {
        return reads.read(std::span(buffer).first(chunk_size(limit.bytes_per_second())));
    };
    size_t count = 0;
    while (left > 0 && (count = next()) > 0) {
        const std::string_view bytes(buffer.data(), count);
        state_->traffic.with([&](Traffic& traffic) {
            traffic.received_bytes += count;
            traffic.inventory_bytes += lists ? count : 0;
        });
        decoder ? decoder->decode(bytes, use) : use(bytes);
        if (limit.pace(count, stop)) {
            throw Stopped{};
        }
    }
    // What ends the body may still be on its way; a 200 may have more than was asked for.
    const bool ended = left > 0 || (head.status == 206 && reads.read(buffer) == 0);
    if (decoder) {
        decoder->finish();
    }
    if (ended && exchange.reader.can_be_used_again()) {
        state_->keep(std::move(exchange.socket));
    }
}

HttpAnswer http_get(const std::string& url_text, std::chrono::milliseconds timeout,
                    const std::string& token) {
    const Url url = Url::parse(url_text);
    const auto deadline = steady_clock::now() + timeout;
    Socket socket = Socket::connect(url.host, url.port, timeout, {});
    socket.set_timeout(timeout);
    socket.set_deadline(deadline);
    socket.write(request_text(url, url.target, token, "Connection: close\r\n"));
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
