#pragma once

#include <string>

#include "apps/antipode/doctor.hpp"

namespace antipode::cli {

/// Connects to a nats-server and reads the INFO line that it begins with (NATS client protocol).
/// Throws Error{Retry} when nobody answers, Error{Stop} when `url` is none.
NatsGreeting greet_nats(const std::string& url);

/// From "nats://user:password@host:port".
struct NatsAddress {
    std::string host;
    uint16_t port = 4222;
    static NatsAddress parse(const std::string& url);
};
/// From "INFO {...}".
NatsGreeting parse_nats_info(const std::string& line);

}  // namespace antipode::cli
