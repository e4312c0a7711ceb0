#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

/// Large content and initial copies go over HTTP beside the stream. A path is what follows
/// "/v1/bulk/", for example "blobs/uploads/content" with the query parameter path=<hex>.
namespace antipode {

/// "kind/name/what" and its query parameters, percent-decoded.
struct BulkRequest {
    std::string path;
    std::map<std::string, std::string> query;
    /// What is posted with it, where a query would be too long. Empty: it is a GET.
    std::string posted{};

    /// nullopt: it is not there.
    std::optional<std::string> parameter(const std::string& name) const {
        const auto found = query.find(name);
        return found == query.end() ? std::nullopt : std::optional(found->second);
    }
};

/// Primary: the bytes that answer one request. Read by one thread, front to back.
class BulkBody {
  public:
    virtual ~BulkBody() = default;
    /// Total size when it is known before; ranges work only then.
    virtual std::optional<uint64_t> size() const = 0;
    /// Begins at `offset` (only called when size() is known, before the first read).
    virtual void seek(uint64_t offset) = 0;
    /// Fills `buffer` from the front; 0 at the end. Throws Error when the content cannot be read to
    /// its end: the connection is then cut, so that the receiver never takes half for all.
    virtual size_t read(std::span<char> buffer) = 0;
    /// Extra response headers, for example a snapshot's name.
    virtual std::map<std::string, std::string> headers() const { return {}; }
};

/// Primary: one store's side of the bulk service. Called by the HTTP server's threads,
/// concurrently.
class BulkHandler {
  public:
    virtual ~BulkHandler() = default;
    /// nullptr: there is no such thing (any more); the server answers 404.
    virtual std::unique_ptr<BulkBody> open(const BulkRequest& request) = 0;
};

/// Secondary: how the primary's bulk service is reached. Thread-safe.
class BulkSource {
  public:
    struct Answer {
        bool found = false;  ///< false: 404, the primary does not have it (any more)
        std::optional<uint64_t> total_size;
        std::map<std::string, std::string> headers;  ///< names in lower case
    };
    /// What is wanted of a body; more than there is means up to its end.
    struct Range {
        uint64_t offset = 0;
        uint64_t length = UINT64_MAX;
        /// From here to the end.
        Range(uint64_t from) : offset(from) {}  // NOLINT(google-explicit-constructor)
        Range(uint64_t from, uint64_t bytes) : offset(from), length(bytes) {}
        bool is_open() const { return length == UINT64_MAX; }
    };
    using Headers = std::function<void(const Answer&)>;
    using Sink = std::function<void(std::string_view chunk)>;

    virtual ~BulkSource() = default;
    /// Reads a range, chunk by chunk, under the site's bandwidth cap; of a body of unknown size,
    /// from its offset to the end. `on_headers` (may be empty) is called once before the first
    /// chunk. Throws Error{Retry} when the primary cannot be reached or the answer is cut short,
    /// Stopped on the token, and whatever a callback throws.
    virtual Answer get(const BulkRequest& request, Range range, const Headers& on_headers,
                       const Sink& sink, const std::stop_token& stop) = 0;
    /// What came of `request` is not what was announced. True: that is not the primary's last word,
    /// it may come right when it is asked for again.
    virtual bool doubt(const BulkRequest&) { return false; }
};

}  // namespace antipode
