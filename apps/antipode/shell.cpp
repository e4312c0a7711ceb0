#include "apps/antipode/shell.hpp"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "adapters/http/client.hpp"
#include "adapters/postgres/connection.hpp"

namespace antipode::cli {

std::string default_config() {
    const char* const named = std::getenv("ANTIPODE_CONFIG");
    return named != nullptr && *named != '\0' ? named : "/etc/antipode/antipode.toml";
}

Format format_of(std::string_view name) {
    return name == "wide"    ? Format::Wide
           : name == "json"  ? Format::Json
           : name == "jsonl" ? Format::JsonLines
           : name == "csv"   ? Format::Csv
                             : Format::Table;
}

Format format_asked_for(int count, const char* const* arguments) {
    constexpr std::string_view joined = "--output=";
    for (int i = 1; i < count; ++i) {
        const std::string_view word = arguments[i];
        if (word.starts_with(joined)) {
            return format_of(word.substr(joined.size()));
        }
        if ((word == "-o" || word == "--output") && i + 1 < count) {
            return format_of(arguments[i + 1]);
        }
    }
    return Format::Table;
}

ExitCode code_of(const Error& error) {
    const auto* const sql = dynamic_cast<const postgres::SqlError*>(&error);
    const bool denied =
        sql != nullptr && (sql->sqlstate() == "42501" || sql->sqlstate().starts_with("28"));
    return denied ? ExitCode::Denied : ExitCode::Failed;
}

namespace {

bool is_terminal(int file) {
    const char* const terminal = std::getenv("TERM");
    return isatty(file) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

bool wants_colour() {
    const char* const refused = std::getenv("NO_COLOR");
    return is_terminal(STDOUT_FILENO) && (refused == nullptr || *refused == '\0');
}

bool is_live() {
    return is_terminal(STDERR_FILENO);
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
