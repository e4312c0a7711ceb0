#pragma once

#include <string>
#include <string_view>

/// What nats.c and nats-server say, for operators. Pure.
namespace antipode::nats {

/// `status`: the library's word for a code, "Timeout". `detail`: its last error, which may begin
/// with a place in its source and repeat the word: "(conn.c:2088): No server available". The one
/// says what the other does not.
std::string reason_of(std::string_view status, std::string_view detail);

/// nats-server 2.9 that has read a damaged file of a stream does not know any more where the stream
/// ends, and not after another start either.
inline constexpr std::string_view damaged_stream_remedy =
    "if this goes on: stop nats-server there, move the stream's directory "
    "(jetstream/.../streams/NAME) away, start it; the sites then compare what was in it";

/// The server refused an append because the stream does not end where its writer believes.
bool is_about_the_end(std::string_view reason);

/// The operator's next step.
std::string remedy_for(std::string_view reason);

}  // namespace antipode::nats
