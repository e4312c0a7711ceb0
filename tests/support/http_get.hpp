#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace antipode::test {

/// The body of the answer, by libcurl: what the daemons' own client does not notice, this one may.
/// nullopt: there was none within `timeout`, or it says that something failed (400 and above).
/// Thread-safe; in the calling thread's network.
std::optional<std::string> http_get(const std::string& url, std::chrono::milliseconds timeout);

}  // namespace antipode::test
