#include "apps/antipode/daemon.hpp"

#include <cerrno>
#include <fstream>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "apps/antipode/exit_code.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

/// Without "connecting to host:port: ", which the address before it says already.
std::string without_address(const std::string& text) {
    const size_t end = text.find(": ");
    return text.starts_with("connecting to ") && end != std::string::npos ? text.substr(end + 2)
                                                                          : text;
}

}  // namespace

CommandError refused(const std::string& url, const Answer& answer, ExitCode code) {
    const auto document = nlohmann::json::parse(answer.body, nullptr, false);
    std::string text = url + " answered " + std::to_string(answer.status);
    std::string next_step = "antipode doctor";
    if (document.is_object() && document.contains("error") && document["error"].is_object()) {
        const auto& error = document["error"];
        const std::string message = error.value("message", "");
        text += message.empty() ? "" : ": " + message;
        const std::string step = error.value("next_step", "");
        next_step = step.empty() ? next_step : step;
    }
    const bool denied = answer.status == 401 || answer.status == 403;
    return {denied ? ExitCode::Denied : code, text, next_step};
}

std::string local_daemon(const Config& config) {
    std::string listen = config.http.listen;
    for (const std::string_view any : {"0.0.0.0:", "[::]:"}) {
        if (listen.starts_with(any)) {
            listen = "127.0.0.1:" + listen.substr(any.size());
        }
    }
    return "http://" + listen;
}

std::string get(const Fetch& fetch, const std::string& base, const std::string& path,
                std::chrono::milliseconds timeout) {
    Answer answer;
    try {
        answer = fetch(base + path, timeout);
    } catch (const Error& error) {
        throw CommandError(ExitCode::Unreachable,
                           "no antipoded answers at " + base + ": " + without_address(error.what()),
                           "systemctl status antipoded, or antipode doctor");
    }
    if (answer.status == 503 || answer.status == 504) {
        throw refused(base + path, answer, ExitCode::Unreachable);
    }
    if (answer.status != 200) {
        throw refused(base + path, answer, ExitCode::Failed);
    }
    return answer.body;
}

std::string token_of(const Config& config) {
    const auto& file = config.http.token_file;
    std::string token;
    if (!file.empty() && !(std::ifstream(file) >> token)) {
        const bool denied = access(file.c_str(), R_OK) != 0 && errno == EACCES;
        throw CommandError(denied ? ExitCode::Denied : ExitCode::Failed,
                           "cannot read the token in " + file.string(),
                           "the same command as root, or as the daemon's user");
    }
    return token;
}

StatusReport get_status(const Fetch& fetch, const std::string& base) {
    return StatusReport::parse(get(fetch, base, "/v1/status"), base);
}

}  // namespace antipode::cli
