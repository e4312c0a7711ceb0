#include "apps/antipode/shell.hpp"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "adapters/http/client.hpp"

namespace antipode::cli {

std::string default_config() {
    const char* const named = std::getenv("ANTIPODE_CONFIG");
    return named != nullptr && *named != '\0' ? named : "/etc/antipode/antipode.toml";
}

bool asks_for_json(int count, const char* const* arguments) {
    for (int i = 1; i + 1 < count; ++i) {
        const std::string_view word = arguments[i];
        if ((word == "-o" || word == "--output") && std::string_view(arguments[i + 1]) == "json") {
            return true;
        }
    }
    return false;
}

bool wants_colour() {
    const char* const refused = std::getenv("NO_COLOR");
    const char* const terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (refused == nullptr || *refused == '\0') &&
           terminal != nullptr && std::string_view(terminal) != "dumb";
}

Answer fetch_over_http(const std::string& url, std::chrono::milliseconds timeout) {
    http::HttpAnswer answer = http::http_get(url, timeout);
    return {answer.status, std::move(answer.body)};
}

Fetch fetch_with_token(const Config& config) {
    return [token = token_of(config)](const std::string& url, std::chrono::milliseconds timeout) {
        http::HttpAnswer answer = http::http_get(url, timeout, token);
        return Answer{answer.status, std::move(answer.body)};
    };
}

Answer post_to_socket(const std::filesystem::path& socket, const std::string& target,
                      const std::string& body, std::chrono::milliseconds timeout) {
    http::HttpAnswer answer = http::http_post(socket, target, body, timeout);
    return {answer.status, std::move(answer.body)};
}

}  // namespace antipode::cli
