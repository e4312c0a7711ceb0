#pragma once

#include <chrono>
#include <string>

namespace antipode::postgres {

inline constexpr std::chrono::seconds longest_write_trial(5);

struct WriteTrial {
    bool could_write = false;
    std::string said{};  ///< in what words the server refused
};

/// Whether somebody can write to a database: connects as `url` says and begins a transaction that
/// may write; nothing is written. A server that does not let them connect, or that takes no writes,
/// refuses. Throws Error: Retry when no server answers, Stop when the answer says nothing of a
/// fence (a wrong password, a database that is not there).
WriteTrial try_to_write(const std::string& url, const std::string& application_name,
                        std::chrono::seconds time = longest_write_trial);

}  // namespace antipode::postgres
