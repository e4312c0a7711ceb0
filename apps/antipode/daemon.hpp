#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/status_report.hpp"
#include "base/config.hpp"

/// The daemons, as the CLI reaches them: over HTTP.
namespace antipode::cli {

struct Answer {
    unsigned status = 0;
    std::string body;
};
/// One small GET. Throws antipode::Error when there is no answer in time.
using Fetch = std::function<Answer(const std::string& url, std::chrono::milliseconds timeout)>;

/// What the daemon said in an answer that is none to the question: {"error": {"message": ...,
/// "next_step": ...}}.
CommandError refused(const std::string& from, const Answer& answer, ExitCode code);

inline constexpr std::chrono::milliseconds daemon_timeout{3000};

/// "http://127.0.0.1:8840": where this machine's daemon listens.
std::string local_daemon(const Config& config);

/// What `base` + `path` answers. Throws CommandError: Unreachable when there is no answer (503 and
/// 504 included), Failed for any other status than 200.
std::string get(const Fetch& fetch, const std::string& base, const std::string& path,
                std::chrono::milliseconds timeout = daemon_timeout);

/// The token that this site's daemons ask for; empty: none. Throws CommandError: Denied when this
/// user may not read it, Failed when nobody can.
std::string token_of(const Config& config);

/// The status of the daemon at `base`.
StatusReport get_status(const Fetch& fetch, const std::string& base);

}  // namespace antipode::cli
