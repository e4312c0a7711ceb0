#include "adapters/s3/signature.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>

#include <sys/stat.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::s3 {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view service = "s3";
constexpr size_t block_bytes = 64;  // of SHA-256

/// RFC 2104. The keys here are never longer than a block, but for long secrets.
std::string hmac(std::string_view key, std::string_view message) {
    const Sha256 hashed = sha256(key);
    std::string block(key.size() > block_bytes ? view(hashed) : key);
    block.resize(block_bytes);
    std::string inner = block;
    std::string outer = block;
    for (size_t i = 0; i < block_bytes; ++i) {
        inner[i] = static_cast<char>(inner[i] ^ 0x36);
        outer[i] = static_cast<char>(outer[i] ^ 0x5c);
    }
    return std::string(view(sha256(outer + std::string(view(sha256(inner.append(message)))))));
}

bool stays(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

std::string trimmed(std::string_view text) {
    const size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) {
        return {};
    }
    return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

}  // namespace

Credentials Credentials::load(const std::filesystem::path& file) {
    struct stat stat {};
    std::ifstream stream(file);
    if (::stat(file.c_str(), &stat) != 0 || !stream) {
        throw Error(Reaction::Retry, "cannot read the credentials in " + file.string(),
                    "create it with the lines access_key_id = ... and secret_access_key = ..., "
                    "mode 0600, owned by the daemon's user");
    }
    if ((stat.st_mode & 077) != 0) {
        throw Error(Reaction::Retry, "others may read the credentials in " + file.string(),
                    "chmod 600 " + file.string());
    }
    Credentials credentials;
    for (std::string line; std::getline(stream, line);) {
        const size_t equals = std::min(line.find('='), line.size());
        const std::string key = trimmed(std::string_view(line).substr(0, equals));
        const std::string value =
            equals < line.size() ? trimmed(std::string_view(line).substr(equals + 1)) : "";
        if (key == "access_key_id" || key == "aws_access_key_id") {
            credentials.access_key_id = value;
        } else if (key == "secret_access_key" || key == "aws_secret_access_key") {
            credentials.secret_access_key = value;
        }
    }
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
        throw Error(Reaction::Retry, file.string() + " does not hold the credentials",
                    "write two lines into it: access_key_id = ... and secret_access_key = ...");
    }
    return credentials;
}

std::string percent_encode(std::string_view text, bool keep_slashes) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        if (stays(c) || (c == '/' && keep_slashes)) {
            encoded += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            encoded += {'%', digits[byte >> 4], digits[byte & 15]};
        }
    }
    return encoded;
}

std::string query_string(const std::map<std::string, std::string>& query) {
    std::string text;
    for (const auto& [name, value] : query) {
        text += (text.empty() ? "" : "&") + percent_encode(name, false) + "=" +
                percent_encode(value, false);
    }
    return text;
}

std::string signing_time(TimePoint time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
    return text.data();
}

std::string authorization(const SignedRequest& request, const Credentials& credentials,
                          std::string_view region) {
    const std::string& time = request.headers.at("x-amz-date");
    const std::string day = time.substr(0, 8);
    const std::string scope =
        day + "/" + std::string(region) + "/" + std::string(service) + "/aws4_request";
    std::string headers;
    std::string names;
    for (const auto& [name, value] : request.headers) {
        headers += name + ":" + trimmed(value) + "\n";
        names += (names.empty() ? "" : ";") + name;
    }
    const std::string canonical = request.method + "\n" + request.path + "\n" +
                                  query_string(request.query) + "\n" + headers + "\n" + names +
                                  "\n" + request.headers.at("x-amz-content-sha256");
    const std::string to_sign =
        std::string(algorithm) + "\n" + time + "\n" + scope + "\n" + to_hex(sha256(canonical));
    std::string key = "AWS4" + credentials.secret_access_key;
    for (const std::string_view part :
         {std::string_view(day), region, service, std::string_view("aws4_request")}) {
        key = hmac(key, part);
    }
    return std::string(algorithm) + " Credential=" + credentials.access_key_id + "/" + scope +
           ",SignedHeaders=" + names + ",Signature=" + to_hex(hmac(key, to_sign));
}

}  // namespace antipode::s3
