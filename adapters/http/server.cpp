#include "adapters/http/server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <list>
#include <mutex>
#include <thread>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "adapters/http/rate_limit.hpp"
#include "adapters/http/slot.hpp"
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

constexpr std::string_view bulk_prefix = "/v1/bulk/";
constexpr std::chrono::milliseconds accept_wait{2000};
/// Beyond the limit, this many are told so; still more are just closed.
constexpr size_t refusing_connections = 16;
/// The names of limits::contents_at_once contents.
constexpr size_t most_asked_bytes = 8 * limits::mib;

/// Takes the same time wherever the texts differ.
bool equal_secrets(std::string_view left, std::string_view right) {
    const Sha256 left_hash = sha256(left);
    const Sha256 right_hash = sha256(right);
    unsigned difference = 0;
    for (size_t i = 0; i < left_hash.size(); ++i) {
        difference |= static_cast<unsigned>(left_hash[i] ^ right_hash[i]);
    }
    return difference == 0;
}

std::string header_or_empty(const Headers& headers, const std::string& name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
}

HttpResponse response_to(const Error& error) {
    return error_response(error.reaction() == Reaction::Retry ? 503 : 500, error.what(),
                          error.next_step());
}

HttpResponse refuse_method(const std::string& allowed) {
    HttpResponse refusal = error_response(405, "what is served here: " + allowed);
    refusal.headers["Allow"] = allowed;
    return refusal;
}

HttpResponse response_of(const HttpServer::Handler& handler, const HttpRequest& request) {
    try {
        return handler(request);
    } catch (const Error& error) {
        return response_to(error);
    } catch (const std::exception& problem) {
        spdlog::error("http: {}: {}", printable(request.path), problem.what());
        return error_response(500, problem.what());
    }
}

struct Route {
    HttpServer::Handler handler;
    HttpServer::Access access = HttpServer::Access::Anyone;
};

struct Registry {
    std::map<std::string, Route> routes;
    std::map<std::string, HttpServer::FeedOpener> feeds;
    std::map<std::string, HttpServer::PostHandler> posts;
    std::map<std::string, std::shared_ptr<BulkHandler>> stores;  ///< by "kind/name"

    const Route* find(const std::string& path) const {
        const Route* best = nullptr;
        // In order, a longer match follows a shorter one.
        for (const auto& [prefix, route] : routes) {
            if (path == prefix || (prefix.ends_with('/') && path.starts_with(prefix))) {
                best = &route;
            }
        }
        return best;
    }
};

struct Shared {
    HttpServer::Options options;
    Synchronized<Registry> registry;
    std::atomic<size_t> long_requests = 0;  ///< bulk transfers and feeds
    std::atomic<size_t> watchers = 0;
    std::stop_source stop;

    size_t most_long_requests() const {
        return std::max<size_t>(1, options.connections - options.connections / 4);
    }
};

/// Serves one connection, request after request, in one thread.
class Session {
  public:
    Session(Shared& shared, Descriptor descriptor)
        : shared_(shared), socket_(std::move(descriptor), shared.stop.get_token()) {
        socket_.set_timeout(shared.options.idle);
    }

    void run();
    /// One connection too many.
    void refuse();

  private:
    bool serve_one(RequestReader& reader);
    bool serve(const RequestHead& head);
    bool serve_post(RequestReader& reader, const RequestHead& head);
    HttpServer::PostHandler poster(const std::string& path);
    bool serve_small(const RequestHead& head, const HttpRequest& request);
    bool serve_bulk(const RequestHead& head, const HttpRequest& request);
    bool serve_feed(const RequestHead& head, const HttpRequest& request,
                    const HttpServer::FeedOpener& opener);
    bool authorized(const RequestHead& head) const;
    bool answer(const RequestHead& head, const HttpResponse& response, bool keep = true);
    bool stream(const RequestHead& head, BulkBody& body);
    struct Framing {
        std::optional<uint64_t> length;  ///< nullopt: to the body's end
        bool chunked = false;
        bool compressed = false;  ///< then it is chunked, too
    };
    void send_body(BulkBody& body, std::span<char> buffer, size_t filled, const Framing& framing);
    void send(std::string_view bytes, bool chunked);

    Shared& shared_;
    Socket socket_;
};

void Session::run() {
    try {
        RequestReader reader(socket_);
        while (serve_one(reader)) {
        }
        socket_.close_gently();
    } catch (const Stopped&) {
        // The server ends.
    } catch (const std::exception& problem) {
        spdlog::debug("http: {}", problem.what());
    }
}

void Session::refuse() {
    try {
        socket_.set_timeout(std::chrono::seconds(1));
        answer({}, error_response(503, "too many connections"), false);
        socket_.close_gently();
    } catch (const Stopped&) {
        // The server ends.
    } catch (const std::exception& problem) {
        spdlog::debug("http: {}", problem.what());
    }
}

bool Session::serve_one(RequestReader& reader) {
    socket_.set_deadline(std::chrono::steady_clock::now() + shared_.options.header_time);
    try {
        const std::optional<RequestHead> head = reader.next();
        if (head && head->method == "POST") {
            return serve_post(reader, *head);
        }
        if (head && head->has_body) {
            throw BadMessage(413, "requests with a body are not accepted");
        }
        socket_.set_deadline(std::nullopt);
        return head && serve(*head);
    } catch (const BadMessage& problem) {
        return answer({}, error_response(problem.status, problem.what()), false);
    }
}

/// Whoever may not post is answered before a byte of the body is read.
bool Session::serve_post(RequestReader& reader, const RequestHead& head) {
    const auto target = Target::parse(head.target);
    const bool bulk = target && target->path.starts_with(bulk_prefix);
    const auto handler = target ? poster(target->path) : HttpServer::PostHandler();
    if (!handler && !bulk) {
        return answer(head, refuse_method("GET, HEAD"), false);
    }
    if (!authorized(head)) {
        return answer(head, error_response(401, "this path needs the bearer token"), false);
    }
    const size_t most = bulk ? most_asked_bytes : shared_.options.body_bytes;
    const HttpRequest request{head.method, target->path, target->query, head.headers,
                              head.has_body ? reader.body(most) : std::string()};
    socket_.set_deadline(std::nullopt);
    if (bulk) {
        return serve_bulk(head, request);
    }
    return answer(head, response_of(
                            [&](const HttpRequest& posted) {
                                return handler(posted, shared_.stop.get_token());
                            },
                            request));
}

HttpServer::PostHandler Session::poster(const std::string& path) {
    return shared_.registry.with([&](const Registry& registry) {
        const auto found = registry.posts.find(path);
        return found == registry.posts.end() ? HttpServer::PostHandler() : found->second;
    });
}

bool Session::serve(const RequestHead& head) {
    const bool known_method = head.method == "GET" || head.method == "HEAD";
    const auto target = Target::parse(head.target);
    if (!known_method || !target) {
        return answer(head,
                      known_method ? error_response(400, "the request's target is malformed")
                                   : refuse_method("GET, HEAD"),
                      false);
    }
    if (poster(target->path)) {
        return answer(head, refuse_method("POST"));
    }
    const HttpRequest request{head.method, target->path, target->query, head.headers, {}};
    if (request.path.starts_with(bulk_prefix)) {
        return serve_bulk(head, request);
    }
    const auto opener = shared_.registry.with([&](const Registry& registry) {
        const auto found = registry.feeds.find(request.path);
        return found == registry.feeds.end() ? HttpServer::FeedOpener() : found->second;
    });
    return opener ? serve_feed(head, request, opener) : serve_small(head, request);
}

bool Session::serve_small(const RequestHead& head, const HttpRequest& request) {
    const Route route = shared_.registry.with([&](const Registry& registry) {
        const Route* found = registry.find(request.path);
        return found == nullptr ? Route() : *found;
    });
    if (!route.handler) {
        return answer(head, error_response(404, "there is nothing at " + printable(request.path)));
    }
    if (route.access == HttpServer::Access::Token && !authorized(head)) {
        return answer(head, error_response(401, "this path needs the bearer token"));
    }
    return answer(head, response_of(route.handler, request));
}

bool Session::serve_bulk(const RequestHead& head, const HttpRequest& request) {
    if (!authorized(head)) {
        return answer(head, error_response(401, "the bulk service needs the bearer token",
                                           "the same http.token_file on both sites"));
    }
    const BulkRequest wanted{request.path.substr(bulk_prefix.size()), request.query, request.body};
    const size_t kind_end = std::min(wanted.path.find('/'), wanted.path.size());
    const std::string store = wanted.path.substr(0, wanted.path.find('/', kind_end + 1));
    const auto handler = shared_.registry.with([&](const Registry& registry) {
        const auto found = registry.stores.find(store);
        return found == registry.stores.end() ? nullptr : found->second;
    });
    if (!handler) {
        // Not a 404: that would mean that the content is gone for good.
        return answer(head,
                      error_response(503, "this node does not serve " + printable(store),
                                     "antipode sites list, to see which site is the primary"));
    }
    const Slot slot(shared_.long_requests);
    if (slot.number() > shared_.most_long_requests()) {
        return answer(head, error_response(503, "too many bulk transfers run"));
    }
    try {
        const std::unique_ptr<BulkBody> body = handler->open(wanted);
        if (!body) {
            return answer(head, error_response(404, "there is no such content (any more)"));
        }
        return stream(head, *body);
    } catch (const Error& error) {
        // Thrown before the first byte was sent; later ones end in stream().
        return answer(head, response_to(error));
    } catch (const std::exception& problem) {
        spdlog::error("http: {}: {}", printable(request.path), problem.what());
        return answer(head, error_response(500, problem.what()), false);
    }
}

bool Session::serve_feed(const RequestHead& head, const HttpRequest& request,
                         const HttpServer::FeedOpener& opener) {
    const Slot slot(shared_.long_requests);
    const Slot watcher(shared_.watchers);
    if (slot.number() > shared_.most_long_requests() ||
        watcher.number() > shared_.options.watchers) {
        return answer(head, error_response(503, "too many watch already",
                                           "close other pages, or ask /v1/status now and then"));
    }
    HttpServer::Feed feed;
    try {
        feed = opener(request);
    } catch (const Error& error) {
        return answer(head, response_to(error));
    }
    // Without a length it ends with the connection. A proxy must not keep it back.
    socket_.write(response_head(200, {{"Content-Type", "text/event-stream"},
                                      {"Cache-Control", "no-store"},
                                      {"Connection", "close"},
                                      {"X-Accel-Buffering", "no"},
                                      {"X-Content-Type-Options", "nosniff"}}));
    const std::stop_token stop = shared_.stop.get_token();
    while (head.method != "HEAD" && !stop.stop_requested()) {
        // A comment for a pause: writing shows whether the watcher is still there.
        const std::string events = feed(stop);
        socket_.write(events.empty() ? ":\n\n" : events);
    }
    return false;
}

bool Session::authorized(const RequestHead& head) const {
    constexpr std::string_view scheme = "Bearer ";
    if (shared_.options.token.empty()) {
        return true;
    }
    const std::string given = header_or_empty(head.headers, "authorization");
    return given.starts_with(scheme) &&
           equal_secrets(std::string_view(given).substr(scheme.size()), shared_.options.token);
}

bool Session::answer(const RequestHead& head, const HttpResponse& response, bool keep) {
    keep = keep && head.keep_alive;
    Headers headers = response.headers;
    headers["Content-Type"] = response.content_type;
    headers["Content-Length"] = std::to_string(response.body.size());
    headers["Connection"] = keep ? "keep-alive" : "close";
    headers["Cache-Control"] = "no-store";
    headers["X-Content-Type-Options"] = "nosniff";
    if (response.status == 401) {
        headers["WWW-Authenticate"] = "Bearer";
    }
    std::string bytes = response_head(response.status, headers);
    if (head.method != "HEAD") {
        bytes += response.body;
    }
    socket_.write(bytes);
    return keep;
}

bool Session::stream(const RequestHead& head, BulkBody& body) {
    const std::optional<uint64_t> size = body.size();
    RangeAnswer wanted;
    if (size) {
        wanted = parse_range(header_or_empty(head.headers, "range"), *size);
    }
    Headers headers = body.headers();
    headers["Content-Type"] = "application/octet-stream";
    headers["Cache-Control"] = "no-store";
    std::optional<uint64_t> length = size;
    if (wanted.kind == RangeAnswer::Kind::Unsatisfiable) {
        HttpResponse refusal = error_response(416, "the range lies beyond the content");
        refusal.headers["Content-Range"] = "bytes */" + std::to_string(*size);
        return answer(head, refusal);
    }
    if (wanted.kind == RangeAnswer::Kind::Part) {
        const auto [first, count] = wanted.range;
        headers["Content-Range"] = "bytes " + std::to_string(first) + "-" +
                                   std::to_string(first + count - 1) + "/" + std::to_string(*size);
        length = count;
        body.seek(first);
    }
    // The first read comes before the header, so that its failure can still be told.
    std::vector<char> buffer(chunk_size(shared_.options.bulk_limit->bytes_per_second()));
    const bool with_body = head.method != "HEAD" && length != uint64_t{0};
    const size_t filled = with_body ? body.read(buffer) : 0;
    const bool part = wanted.kind == RangeAnswer::Kind::Part;
    Framing framing{length, !length && head.http11};
    // Each range on its own: its size is known to the receiver, so that the coding is bounded.
    if (part && head.http11 && accepts_zstd(header_or_empty(head.headers, "accept-encoding")) &&
        compresses_well({buffer.data(), std::min<uint64_t>(filled, *length)})) {
        framing.compressed = framing.chunked = true;
        headers["Content-Encoding"] = "zstd";
    }
    const bool keep = head.keep_alive && (length || framing.chunked);
    if (length) {
        headers["Accept-Ranges"] = "bytes";
        headers["Vary"] = "Accept-Encoding";
    }
    if (framing.chunked) {
        headers["Transfer-Encoding"] = "chunked";
    } else if (length) {
        headers["Content-Length"] = std::to_string(*length);
    }
    headers["Connection"] = keep ? "keep-alive" : "close";
    try {
        socket_.write(response_head(part ? 206 : 200, headers));
        if (with_body) {
            send_body(body, buffer, filled, framing);
        }
    } catch (const std::exception& problem) {
        // Cut the connection: the receiver must not take half for all.
        spdlog::warn("http: a bulk transfer was cut: {}", problem.what());
        return false;
    }
    return keep;
}

void Session::send_body(BulkBody& body, std::span<char> buffer, size_t filled,
                        const Framing& framing) {
    uint64_t left = framing.length.value_or(UINT64_MAX);
    std::optional<ZstdEncoder> encoder;
    if (framing.compressed) {
        encoder.emplace();
    }
    while (filled > 0 && left > 0) {
        const std::string_view bytes(buffer.data(), std::min<uint64_t>(filled, left));
        left -= bytes.size();
        if (encoder) {
            send(encoder->encode(bytes, left == 0), framing.chunked);
        } else {
            send(bytes, framing.chunked);
        }
        filled = left > 0 ? body.read(buffer) : 0;
    }
    if (framing.length && left > 0) {
        throw Error(Reaction::Retry, "the content ended before its size");
    }
    if (framing.chunked) {
        socket_.write("0\r\n\r\n");
    }
}

void Session::send(std::string_view bytes, bool chunked) {
    if (bytes.empty()) {
        return;  // in chunks, that would be the end
    }
    if (chunked) {
        std::array<char, 24> size_line{};
        std::snprintf(size_line.data(), size_line.size(), "%zx\r\n", bytes.size());
        socket_.write(size_line.data());
    }
    socket_.write(bytes);
    if (chunked) {
        socket_.write("\r\n");
    }
    if (shared_.options.bulk_limit->pace(bytes.size(), shared_.stop.get_token())) {
        throw Stopped{};
    }
}

}  // namespace

HttpResponse error_response(unsigned status, const std::string& message,
                            const std::string& next_step) {
    nlohmann::json error = {{"message", message}};
    if (!next_step.empty()) {
        error["next_step"] = next_step;
    }
    HttpResponse response;
    response.status = status;
    response.body = nlohmann::json{{"error", error}}.dump(
                        -1, ' ', false, nlohmann::json::error_handler_t::replace) +
                    "\n";
    return response;
}

struct HttpServer::State {
    explicit State(const Options& options)
        : shared{options, {}, 0, 0, {}}, listener(listen(shared.options)) {}
    ~State() { stop(); }

    void stop() {
        shared.stop.request_stop();
        acceptor = {};
        connections.clear();
    }

    struct Connection {
        std::atomic<bool> done = false;
        std::jthread thread;
    };

    static Listener listen(const Options& options);
    void accept_loop();
    void serve(Descriptor descriptor);

    Shared shared;
    Listener listener;
    std::list<Connection> connections;  ///< the acceptor's
    std::jthread acceptor;
};

void HttpServer::State::accept_loop() {
    while (!shared.stop.stop_requested()) {
        std::optional<Descriptor> accepted;
        try {
            accepted = listener.accept(accept_wait, shared.stop.get_token());
        } catch (const Stopped&) {
            return;
        } catch (const Error& error) {
            spdlog::debug("http: {}", error.what());
        }
        connections.remove_if([](const Connection& connection) { return connection.done.load(); });
        if (accepted) {
            serve(std::move(*accepted));
        }
    }
}

void HttpServer::State::serve(Descriptor descriptor) {
    const size_t limit = shared.options.connections;
    if (connections.size() >= limit + refusing_connections) {
        return;
    }
    const bool refused = connections.size() >= limit;
    Connection& connection = connections.emplace_back();
    try {
        connection.thread =
            std::jthread([this, refused, &connection, moved = std::move(descriptor)]() mutable {
                Session session(shared, std::move(moved));
                refused ? session.refuse() : session.run();
                connection.done = true;
            });
    } catch (const std::system_error& problem) {
        spdlog::error("http: no thread for a connection: {}", problem.what());
        connections.pop_back();
    }
}

Listener HttpServer::State::listen(const Options& options) {
    if (options.socket) {
        return Listener::local(*options.socket, options.socket_mode);
    }
    const auto address = ListenAddress::parse(options.listen);
    if (!address) {
        throw Error(Reaction::Stop, "no address to listen on: \"" + options.listen + "\"",
                    "host:port, for example 127.0.0.1:8840");
    }
    return Listener(address->host, address->port);
}

HttpServer::HttpServer(Options options) : state_(std::make_unique<State>(std::move(options))) {}
HttpServer::~HttpServer() = default;

void HttpServer::route(const std::string& path, Handler handler, Access access) {
    state_->shared.registry.with([&](Registry& registry) {
        if (handler) {
            registry.routes[path] = {std::move(handler), access};
        } else {
            registry.routes.erase(path);
        }
    });
}

void HttpServer::bulk(const StoreId& store, std::shared_ptr<BulkHandler> handler) {
    state_->shared.registry.with([&](Registry& registry) {
        if (handler) {
            registry.stores[store.to_string()] = std::move(handler);
        } else {
            registry.stores.erase(store.to_string());
        }
    });
}

void HttpServer::feed(const std::string& path, FeedOpener opener) {
    state_->shared.registry.with(
        [&](Registry& registry) { registry.feeds[path] = std::move(opener); });
}

void HttpServer::post(const std::string& path, PostHandler handler) {
    state_->shared.registry.with([&](Registry& registry) {
        if (handler) {
            registry.posts[path] = std::move(handler);
        } else {
            registry.posts.erase(path);
        }
    });
}

void HttpServer::start() {
    state_->acceptor = std::jthread([this] { state_->accept_loop(); });
}

void HttpServer::stop() {
    state_->stop();
}

uint16_t HttpServer::port() const {
    return state_->listener.port();
}

}  // namespace antipode::http
