#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "adapters/http/socket.hpp"

/// HTTP/1.1 as bytes on a socket. Parsing is Boost.Beast's, behind these classes.
namespace antipode::http {

/// Names in lower case. A name that comes twice is joined with ", ", as RFC 9110 allows.
using Headers = std::map<std::string, std::string>;

struct RequestHead {
    std::string method;
    std::string target;
    Headers headers;
    bool http11 = true;
    bool keep_alive = true;
    bool has_body = false;  ///< it follows
};

struct ResponseHead {
    unsigned status = 0;
    Headers headers;
    std::optional<uint64_t> content_length;
};

/// What the other side sent is no HTTP that we accept; `status` is what to answer.
struct BadMessage : std::runtime_error {
    BadMessage(unsigned answer, const std::string& what)
        : std::runtime_error(what), status(answer) {}
    unsigned status;
};

/// Reads requests off one connection, one after the other.
class RequestReader {
  public:
    explicit RequestReader(Socket& socket);
    ~RequestReader();
    /// nullopt: the client closed the connection between requests. Throws BadMessage, and what the
    /// socket throws.
    std::optional<RequestHead> next();
    /// The body of the last one, which has one: it must be read before the next. Throws
    /// BadMessage{413} beyond `most_bytes`.
    std::string body(size_t most_bytes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads the one response to one request. Throws Error{Retry} when it is no HTTP or is cut short.
class ResponseReader {
  public:
    /// `head_only`: the request was HEAD.
    ResponseReader(Socket& socket, bool head_only);
    ~ResponseReader();
    ResponseHead head();
    /// Fills `buffer` from the front; 0 at the body's proper end.
    size_t read(std::span<char> buffer);
    /// After the body's end: the server lets the connection be used for another request.
    bool can_be_used_again() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The first line and headers of an answer, ended by the empty line. Control characters in values
/// become spaces.
std::string response_head(unsigned status, const Headers& headers);

}  // namespace antipode::http
