#include "adapters/http/wire.hpp"

#include <array>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::http {
namespace {

namespace beast = boost::beast;

constexpr uint32_t header_limit = 16 * limits::kib;
constexpr size_t read_size = 16 * limits::kib;

template <typename Fields>
Headers headers_of(const Fields& fields) {
    Headers headers;
    for (const auto& field : fields) {
        std::string name(field.name_string());
        for (char& c : name) {
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        std::string& value = headers[name];
        value += (value.empty() ? "" : ", ") + std::string(field.value());
    }
    return headers;
}

/// Appends what the socket has to `buffer`; false at its end.
bool receive(Socket& socket, beast::flat_buffer& buffer) {
    const auto space = buffer.prepare(read_size);
    const size_t count =
        socket.read_some(std::span(static_cast<char*>(space.data()), space.size()));
    buffer.commit(count);
    return count > 0;
}

Error broken(const beast::error_code& failure) {
    return {Reaction::Retry, "the HTTP answer is broken: " + failure.message()};
}

}  // namespace

struct RequestReader::State {
    using Parser = beast::http::request_parser<beast::http::string_body>;

    /// Reads until `is_done`. False: the client closed the connection between requests.
    template <typename IsDone>
    bool read_until(IsDone is_done);

    Socket& socket;
    beast::flat_buffer buffer;
    std::optional<Parser> parser;
};

template <typename IsDone>
bool RequestReader::State::read_until(IsDone is_done) {
    while (!is_done()) {
        beast::error_code failure;
        if (buffer.size() > 0) {
            buffer.consume(parser->put(buffer.data(), failure));
        } else {
            failure = beast::http::error::need_more;
        }
        if (failure == beast::http::error::need_more) {
            if (!receive(socket, buffer)) {
                if (!parser->got_some()) {
                    return false;
                }
                throw BadMessage(400, "the request ends in its middle");
            }
        } else if (failure == beast::http::error::header_limit) {
            throw BadMessage(431, "the request's header is too large");
        } else if (failure == beast::http::error::body_limit) {
            throw BadMessage(413, "the request's body is too large");
        } else if (failure) {
            throw BadMessage(400, "no HTTP request: " + failure.message());
        }
    }
    return true;
}

RequestReader::RequestReader(Socket& socket) : state_(new State{socket, {}, {}}) {}
RequestReader::~RequestReader() = default;

std::optional<RequestHead> RequestReader::next() {
    State::Parser& parser = state_->parser.emplace();
    parser.header_limit(header_limit);
    parser.body_limit(boost::none);  // body() has one; nothing is read of it before
    if (!state_->read_until([&] { return parser.is_header_done(); })) {
        return std::nullopt;
    }
    const auto& message = parser.get();
    return RequestHead{std::string(message.method_string()),
                       std::string(message.target()),
                       headers_of(message),
                       message.version() >= 11,
                       message.keep_alive(),
                       !parser.is_done()};
}

std::string RequestReader::body(size_t most_bytes) {
    State::Parser& parser = *state_->parser;
    if (parser.content_length().value_or(0) > most_bytes) {
        throw BadMessage(413, "the request's body is too large");
    }
    parser.body_limit(most_bytes);
    if (!state_->read_until([&] { return parser.is_done(); })) {
        throw BadMessage(400, "the request ends in its middle");
    }
    return std::move(parser.get().body());
}

struct ResponseReader::State {
    Socket& socket;
    beast::flat_buffer buffer;
    beast::http::response_parser<beast::http::buffer_body> parser;
};

ResponseReader::ResponseReader(Socket& socket, bool head_only) : state_(new State{socket, {}, {}}) {
    state_->parser.header_limit(header_limit);
    state_->parser.body_limit(boost::none);
    state_->parser.skip(head_only);
}
ResponseReader::~ResponseReader() = default;

ResponseHead ResponseReader::head() {
    auto& [socket, buffer, parser] = *state_;
    while (!parser.is_header_done()) {
        beast::error_code failure = beast::http::error::need_more;
        if (buffer.size() > 0) {
            buffer.consume(parser.put(buffer.data(), failure));
        }
        if (failure == beast::http::error::need_more) {
            if (!receive(socket, buffer)) {
                throw Error(Reaction::Retry, "the server closed the connection without an answer");
            }
        } else if (failure && failure != beast::http::error::need_buffer) {
            throw broken(failure);
        }
    }
    ResponseHead head{parser.get().result_int(), headers_of(parser.get()), std::nullopt};
    if (const auto length = parser.content_length()) {
        head.content_length = *length;
    }
    return head;
}

size_t ResponseReader::read(std::span<char> space) {
    auto& [socket, buffer, parser] = *state_;
    auto& body = parser.get().body();
    body.data = space.data();
    body.size = space.size();
    body.more = true;
    while (!parser.is_done() && body.size == space.size()) {
        beast::error_code failure = beast::http::error::need_more;
        if (buffer.size() > 0) {
            buffer.consume(parser.put(buffer.data(), failure));
        }
        if (failure == beast::http::error::need_more) {
            if (body.size == space.size() && !receive(socket, buffer)) {
                failure = {};
                parser.put_eof(failure);
                if (failure) {
                    throw Error(Reaction::Retry, "the HTTP answer was cut short");
                }
            }
        } else if (failure && failure != beast::http::error::need_buffer) {
            throw broken(failure);
        }
    }
    return space.size() - body.size;
}

bool ResponseReader::can_be_used_again() const {
    return state_->parser.is_done() && state_->parser.keep_alive() && state_->buffer.size() == 0;
}

std::string response_head(unsigned status, const Headers& headers) {
    const auto reason = beast::http::obsolete_reason(beast::http::int_to_status(status));
    std::string text = "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason) + "\r\n";
    for (const auto& [name, value] : headers) {
        text += name + ": ";
        for (const char c : value) {
            text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
        }
        text += "\r\n";
    }
    return text + "\r\n";
}

}  // namespace antipode::http
