#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "adapters/http/rate_limit.hpp"
#include "base/seams/bulk.hpp"

namespace antipode::http {

/// Pulls from a primary's bulk service. All pulls of one object share its bandwidth cap, which
/// counts what passes the wire; a few connections are kept for the next pulls. What the primary
/// finds worth it comes compressed. There is no limit on a pull's whole time, only on standing
/// still. Thread-safe.
class HttpBulkSource final : public BulkSource {
  public:
    struct Options {
        std::string url;      ///< the daemon's address, "http://host:8840"
        std::string token{};  ///< sent as bearer token unless empty
        /// Of all pulls together.
        std::shared_ptr<RateLimit> limit = std::make_shared<RateLimit>(0);
        std::chrono::milliseconds connect_timeout{std::chrono::seconds(10)};
        std::chrono::milliseconds read_timeout{std::chrono::seconds(30)};
    };
    /// Throws Error{Stop} when the url is none.
    explicit HttpBulkSource(const Options& options);
    ~HttpBulkSource() override;

    Answer get(const BulkRequest& request, Range range, const Headers& on_headers, const Sink& sink,
               const std::stop_token& stop) override;

    /// Bodies since the object was made.
    struct Traffic {
        uint64_t received_bytes = 0;   ///< as they came
        uint64_t content_bytes = 0;    ///< as they were handed on
        uint64_t inventory_bytes = 0;  ///< of those that came: lists of what there is, and sums
    };
    Traffic traffic() const;

  private:
    class Exchange;
    struct State;
    std::unique_ptr<Exchange> ask(const BulkRequest& request, const Range& range,
                                  const std::stop_token& stop);
    void take_body(Exchange& exchange, const BulkRequest& request, const Range& range,
                   const Sink& sink, const std::stop_token& stop);

    std::unique_ptr<State> state_;
};

struct HttpAnswer {
    unsigned status = 0;
    std::string body;
};

/// One small GET, for the CLI. Throws Error{Retry} when there is no complete answer within
/// `timeout`, Error{Stop} when `url` is none; any status is an answer.
HttpAnswer http_get(const std::string& url,
                    std::chrono::milliseconds timeout = std::chrono::seconds(5),
                    const std::string& token = {});

/// One small POST to a socket of this machine. Errors as above.
HttpAnswer http_post(const std::filesystem::path& socket, const std::string& target,
                     const std::string& body, std::chrono::milliseconds timeout);

}  // namespace antipode::http
