#include "adapters/s3/client.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <stop_token>
#include <vector>

#include <curl/curl.h>

#include "adapters/s3/answers.hpp"
#include "base/backoff.hpp"
#include "base/digest.hpp"
#include "base/handle.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode::s3 {
namespace {

using std::chrono::milliseconds;

constexpr long connect_timeout_seconds = 5;
constexpr long least_bytes_per_second = 4096;
constexpr long longest_work_seconds = 600;
constexpr size_t most_header_bytes = 64 * limits::kib;
constexpr size_t hash_chunk_bytes = 256 * limits::kib;
constexpr milliseconds first_delay(100);
constexpr milliseconds longest_delay(2000);

using Easy = Handle<CURL, curl_easy_cleanup>;
using HeaderList = Handle<curl_slist, curl_slist_free_all>;

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
}

/// One try of a request: what curl's callbacks see.
struct Exchange {
    const Client::Request& request;
    const std::stop_token& stop;
    Client::Response response{};
    uint64_t sent = 0;
    size_t header_bytes = 0;
    bool too_much = false;
    std::exception_ptr failure{};
    std::array<char, CURL_ERROR_SIZE> problem{};
};

size_t on_header(char* bytes, size_t, size_t count, void* context) noexcept {
    auto& exchange = *static_cast<Exchange*>(context);
    try {
        const std::string_view line(bytes, count);
        exchange.header_bytes += count;
        const size_t colon = line.find(':');
        if (colon != std::string_view::npos) {
            const size_t first = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
            const size_t last = line.find_last_not_of(" \t\r\n");
            exchange.response.headers[lower(std::string(line.substr(0, colon)))] =
                last >= first ? line.substr(first, last - first + 1) : "";
        }
        return exchange.header_bytes > most_header_bytes ? 0 : count;
    } catch (...) {
        exchange.failure = std::current_exception();
        return 0;
    }
}

size_t on_body(char* bytes, size_t, size_t count, void* context) noexcept {
    auto& exchange = *static_cast<Exchange*>(context);
    try {
        if (count > exchange.request.most_bytes - exchange.response.body.size()) {
            exchange.too_much = true;
            return 0;
        }
        exchange.response.body.append(bytes, count);
        return count;
    } catch (...) {
        exchange.failure = std::current_exception();
        return 0;
    }
}

size_t on_send(char* buffer, size_t, size_t count, void* context) noexcept {
    auto& exchange = *static_cast<Exchange*>(context);
    try {
        const Body& body = *exchange.request.body;
        const size_t wanted = std::min<uint64_t>(count, body.size - exchange.sent);
        const size_t got = wanted == 0 ? 0 : body.read(exchange.sent, {buffer, wanted});
        exchange.sent += got;
        return got == wanted ? got : CURL_READFUNC_ABORT;
    } catch (...) {
        exchange.failure = std::current_exception();
        return CURL_READFUNC_ABORT;
    }
}

int on_seek(void* context, curl_off_t offset, int origin) noexcept {
    if (origin != SEEK_SET || offset < 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    static_cast<Exchange*>(context)->sent = static_cast<uint64_t>(offset);
    return CURL_SEEKFUNC_OK;
}

int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
    return static_cast<Exchange*>(context)->stop.stop_requested() ? 1 : 0;
}

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(easy, option, value);
    if (code != CURLE_OK) {
        throw Error(Reaction::Stop, std::string("libcurl: ") + curl_easy_strerror(code));
    }
}

/// Worth another try: the server says so itself, or something between does.
bool is_passing(const Client::Response& response) {
    switch (response.status) {
        case 429:
        case 500:
        case 502:
        case 503:
        case 504:
            return true;
        case 400: {
            const auto error = parse_error(response.body);
            return error && error->code == "RequestTimeout";
        }
        default:
            return false;
    }
}

std::string remedy_of(const std::string& code, unsigned status, const Client::Response& response) {
    if (code == "RequestTimeTooSkewed") {
        return "set this machine's clock (timedatectl); the server's says " +
               response.header("date");
    }
    if (code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch") {
        return "mend the key and secret in blobs.credentials_file";
    }
    if (code == "NoSuchBucket" || (code.empty() && status == 404)) {
        return "create the bucket, or mend blobs.bucket";
    }
    if (code == "AuthorizationHeaderMalformed" || status / 100 == 3) {
        return "mend blobs.endpoint and blobs.region";
    }
    if (status == 403) {
        return "let the key in blobs.credentials_file list the bucket and read it; on a secondary "
               "also write, delete and upload in parts";
    }
    return "look into the log of the bucket's server";
}

}  // namespace

Body Body::of(std::string text) {
    Body body{text.size(), to_hex(antipode::sha256(text))};
    body.read = [kept = std::move(text)](uint64_t offset, std::span<char> buffer) {
        return kept.copy(buffer.data(), buffer.size(), offset);
    };
    return body;
}

Body Body::of(FileReader& file, uint64_t offset, uint64_t size) {
    Sha256Stream stream;
    std::vector<char> buffer(std::min<uint64_t>(hash_chunk_bytes, size));
    for (uint64_t done = 0; done < size;) {
        const size_t wanted = std::min<uint64_t>(buffer.size(), size - done);
        if (file.read_at(offset + done, std::span(buffer).first(wanted)) != wanted) {
            throw Error(Reaction::Retry, "a staged file is shorter than it was");
        }
        stream.update({buffer.data(), wanted});
        done += wanted;
    }
    return {size, to_hex(stream.finish()), [&file, offset](uint64_t from, std::span<char> into) {
                return file.read_at(offset + from, into);
            }};
}

std::string Client::Response::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
}

struct Client::State {
    State(Options given, const Clock& time) : options(std::move(given)), clock(time) {
        static std::once_flag once;
        std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
        const size_t scheme_end = options.endpoint.find("://") + 3;
        const std::string scheme = options.endpoint.substr(0, scheme_end);
        const std::string server = options.endpoint.substr(scheme_end);
        host = options.path_style ? server : options.bucket + "." + server;
        base = scheme + host;
        // What a client leaves away, and so must what is signed.
        const std::string usual_port = scheme == "https://" ? ":443" : ":80";
        if (host.ends_with(usual_port)) {
            host.resize(host.size() - usual_port.size());
        }
    }

    std::string path_of(const std::string& key) const {
        return (options.path_style ? "/" + options.bucket : std::string()) +
               (key.empty() && options.path_style ? "" : "/") + percent_encode(key, true);
    }
    Credentials credentials();
    HeaderList headers_of(const Request& request);
    void prepare(CURL* easy, const Request& request, Exchange& exchange, const std::string& url,
                 const HeaderList& headers) const;
    /// Why it failed; empty: `exchange` has the answer.
    std::string try_once(Exchange& exchange);

    const Options options;
    const Clock& clock;
    std::string host;
    std::string base;
    std::stop_source stop;
    Synchronized<std::optional<Credentials>> loaded;
    Synchronized<std::vector<Easy>> idle;  ///< with their connections
};

Credentials Client::State::credentials() {
    const auto known = loaded.copy();
    if (known) {
        return *known;
    }
    Credentials read = Credentials::load(options.credentials_file);
    loaded.with([&](std::optional<Credentials>& kept) { kept = read; });
    return read;
}

HeaderList Client::State::headers_of(const Request& request) {
    SignedRequest to_sign{request.method, path_of(request.key), request.query, request.headers};
    to_sign.headers["host"] = host;
    to_sign.headers["x-amz-date"] = signing_time(clock.now());
    to_sign.headers["x-amz-content-sha256"] =
        request.body == nullptr ? to_hex(sha256("")) : request.body->sha256;
    std::vector<std::string> lines = {
        "authorization: " + authorization(to_sign, credentials(), options.region),
        "expect:", "content-type:"};
    for (const auto& [name, value] : to_sign.headers) {
        lines.push_back(name + ": " + value);
    }
    HeaderList list;
    for (const std::string& line : lines) {
        curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
        if (longer == nullptr) {
            throw std::bad_alloc();
        }
        static_cast<void>(list.release());
        list.reset(longer);
    }
    return list;
}

void Client::State::prepare(CURL* easy, const Request& request, Exchange& exchange,
                            const std::string& url, const HeaderList& headers) const {
    curl_easy_reset(easy);
    set(easy, CURLOPT_URL, url.c_str());
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_PROXY, "");
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_USERAGENT, "antipode");
    set(easy, CURLOPT_CONNECTTIMEOUT, connect_timeout_seconds);
    if (request.takes_long) {
        set(easy, CURLOPT_TIMEOUT, longest_work_seconds);
    } else {
        set(easy, CURLOPT_LOW_SPEED_LIMIT, least_bytes_per_second);
        set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall.count()));
    }
    set(easy, CURLOPT_HTTPHEADER, headers.get());
    set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (request.method == "HEAD") {
        set(easy, CURLOPT_NOBODY, 1L);
    }
    if (request.body != nullptr) {
        set(easy, CURLOPT_UPLOAD, 1L);
        set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body->size));
        set(easy, CURLOPT_READFUNCTION, on_send);
        set(easy, CURLOPT_READDATA, &exchange);
        set(easy, CURLOPT_SEEKFUNCTION, on_seek);
        set(easy, CURLOPT_SEEKDATA, &exchange);
    }
    set(easy, CURLOPT_ERRORBUFFER, exchange.problem.data());
    set(easy, CURLOPT_HEADERFUNCTION, on_header);
    set(easy, CURLOPT_HEADERDATA, &exchange);
    set(easy, CURLOPT_WRITEFUNCTION, on_body);
    set(easy, CURLOPT_WRITEDATA, &exchange);
    set(easy, CURLOPT_NOPROGRESS, 0L);
    set(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    set(easy, CURLOPT_XFERINFODATA, &exchange);
}

std::string Client::State::try_once(Exchange& exchange) {
    const Request& request = exchange.request;
    Easy easy = idle.with([](std::vector<Easy>& handles) {
        Easy taken;
        if (!handles.empty()) {
            taken = std::move(handles.back());
            handles.pop_back();
        }
        return taken;
    });
    if (!easy) {
        easy.reset(curl_easy_init());
    }
    if (!easy) {
        throw std::bad_alloc();
    }
    const std::string query = query_string(request.query);
    const std::string url = base + path_of(request.key) + (query.empty() ? "" : "?" + query);
    const HeaderList headers = headers_of(request);
    prepare(easy.get(), request, exchange, url, headers);
    const CURLcode code = curl_easy_perform(easy.get());
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    exchange.response.status = static_cast<unsigned>(status);
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, nullptr);
    idle.with([&](std::vector<Easy>& handles) { handles.push_back(std::move(easy)); });
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    if (exchange.failure) {
        std::rethrow_exception(exchange.failure);
    }
    if (exchange.too_much) {
        return "the server sends more than was asked for";
    }
    const std::string said = exchange.problem.data();
    return code == CURLE_OK ? std::string() : said.empty() ? curl_easy_strerror(code) : said;
}

Client::Client(Options options, const Clock& clock)
    : state_(std::make_unique<State>(std::move(options), clock)) {}
Client::~Client() = default;

Client::Response Client::send(const Request& request) {
    const std::stop_token stop = state_->stop.get_token();
    Backoff backoff(first_delay, longest_delay);
    for (unsigned tries = 1;; ++tries) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        Exchange exchange{request, stop};
        const std::string problem = state_->try_once(exchange);
        if (exchange.response.status == 403) {
            state_->loaded.with([](std::optional<Credentials>& kept) { kept.reset(); });
        }
        if (problem.empty() && !is_passing(exchange.response)) {
            return std::move(exchange.response);
        }
        if (!problem.empty() && request.part_suffices && exchange.response.status == 206 &&
            !exchange.response.body.empty() && !exchange.too_much) {
            exchange.response.whole = false;
            return std::move(exchange.response);
        }
        if (tries == state_->options.tries) {
            throw problem.empty() ? error_of(request, exchange.response)
                                  : Error(Reaction::Retry, name() + ": " + problem,
                                          "check that the server runs and can be reached: curl " +
                                              state_->options.endpoint);
        }
        sleep_unless_stopped(backoff.next(), stop);
    }
}

Client::Response Client::demand(const Request& request) {
    Response response = send(request);
    if (response.status / 100 != 2) {
        throw error_of(request, response);
    }
    return response;
}

Error Client::error_of(const Request& request, const Response& response) const {
    const auto said = parse_error(response.body);
    const std::string code = said ? printable(said->code) : "";
    std::string text = name() + ": " + request.method +
                       (request.key.empty() ? "" : " " + printable(request.key)) + ": HTTP " +
                       std::to_string(response.status);
    if (said) {
        text += ", " + code + ": " + printable(said->message.substr(0, 200));
    }
    return {Reaction::Retry, text, remedy_of(code, response.status, response)};
}

void Client::interrupt() {
    state_->stop.request_stop();
}

std::string Client::source_of(const std::string& key) const {
    return "/" + state_->options.bucket + "/" + percent_encode(key, true);
}

std::string Client::name() const {
    return "the bucket " + state_->options.bucket + " at " + state_->options.endpoint;
}

}  // namespace antipode::s3
