#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "adapters/http/rate_limit.hpp"
#include "base/ids.hpp"
#include "base/seams/bulk.hpp"

namespace antipode::http {

struct HttpRequest {
    std::string method;                          ///< "GET", "HEAD" or "POST"
    std::string path;                            ///< percent-decoded
    std::map<std::string, std::string> query;    ///< percent-decoded
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body{};                          ///< of a POST
};

struct HttpResponse {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body{};
    std::map<std::string, std::string> headers{};
};

/// {"error": {"message": ..., "next_step": ...}}, as every error is answered.
HttpResponse error_response(unsigned status, const std::string& message,
                            const std::string& next_step = {});

/// The daemon's HTTP server (HTTP/1.1): small answers by path, feeds, and the bulk service, all by
/// GET and HEAD; what is told to it comes by POST. One thread per connection, at most
/// `connections`; of these a quarter is kept for small answers, so that health checks get through
/// while many pulls run and many pages watch. Whoever is too many gets a 503. The destructor stops
/// within a second; a handler must not block for longer, but for one of post(). Handlers are called
/// by the connections' threads, concurrently; one that throws Error is answered with 503 (Retry) or
/// 500. Owner: the program. Thread-safe.
class HttpServer {
  public:
    struct Options {
        std::string listen = "127.0.0.1:0";  ///< host:port; port 0: any free one
        /// Listens here instead of on an address, for programs of this machine: a socket whose mode
        /// decides who may call.
        std::optional<std::filesystem::path> socket{};
        unsigned socket_mode = 0600;
        size_t body_bytes = 1 << 20;  ///< of a POST, at most
        std::string token{};          ///< of Access::Token; empty: not asked for
        size_t connections = 64;
        /// Of all bulk transfers together.
        std::shared_ptr<RateLimit> bulk_limit = std::make_shared<RateLimit>(0);
        size_t watchers = 16;                                      ///< of all feeds together
        std::chrono::milliseconds idle{std::chrono::seconds(30)};  ///< a read or write that stalls
        std::chrono::milliseconds header_time{std::chrono::seconds(30)};  ///< a whole header
    };
    enum class Access {
        Anyone,
        Token,  ///< "Authorization: Bearer <token>" is asked for
    };
    using Handler = std::function<HttpResponse(const HttpRequest&)>;
    /// The next server-sent events for one watcher; waits for them, up to a second or so, and ends
    /// early when the token fires. May be empty. Throws to end this watcher's connection.
    using Feed = std::function<std::string(const std::stop_token&)>;
    /// May wait, until the token fires.
    using PostHandler = std::function<HttpResponse(const HttpRequest&, const std::stop_token&)>;
    using FeedOpener = std::function<Feed(const HttpRequest&)>;

    /// Listens from here on; answers from start() on. Throws Error{Stop} when it cannot.
    explicit HttpServer(Options options);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    /// A path that ends with '/' stands for everything below it, too; the longest match wins. Paths
    /// can be added while the server runs; an empty handler takes one away.
    void route(const std::string& path, Handler handler, Access access = Access::Anyone);
    /// Serves /v1/bulk/<store>/..., under Access::Token. nullptr takes it away; requests that run
    /// keep the handler alive.
    void bulk(const StoreId& store, std::shared_ptr<BulkHandler> handler);
    /// Serves a text/event-stream (HTML standard, section 9.2) at `path` to whoever stays
    /// connected; each watcher has a feed of its own.
    void feed(const std::string& path, FeedOpener opener);

    /// Answers POST at `path`, under Access::Token. An empty handler takes the path away.
    void post(const std::string& path, PostHandler handler);

    void start();
    /// Ends every connection; when it returns, no handler runs and none will be called.
    void stop();
    uint16_t port() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::http
