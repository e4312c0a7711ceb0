#include "chaos-tests/broker_client.hpp"

#include <sstream>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace antipode::chaos {
namespace {

/// RFC 4648, section 4.
std::string decoded(const std::string& base64) {
    const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    uint32_t bits = 0;
    int count = 0;
    for (const char letter : base64) {
        const size_t value = alphabet.find(letter);
        if (value == std::string::npos) {
            break;  // the padding
        }
        bits = bits << 6 | static_cast<uint32_t>(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes += static_cast<char>(bits >> count & 0xFF);
        }
    }
    return bytes;
}

}  // namespace

BrokerClient::BrokerClient(const test::NatsServer& server) {
    const test::InNetwork inside(server.network());
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{5, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server.port()));
    inet_pton(AF_INET, server.network().address.c_str(), &address.sin_addr);
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        close(socket_);
        throw std::runtime_error("nats-server does not answer at " + server.url());
    }
    send_text("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB answers.* 1\r\n");
}

BrokerClient::~BrokerClient() {
    close(socket_);
}

std::vector<std::string> BrokerClient::streams() {
    const auto answer = nlohmann::json::parse(request("$JS.API.STREAM.NAMES", ""));
    return answer.at("streams").is_null() ? std::vector<std::string>()
                                          : answer.at("streams").get<std::vector<std::string>>();
}

uint64_t BrokerClient::last_message(const std::string& stream) {
    const auto answer = nlohmann::json::parse(request("$JS.API.STREAM.INFO." + stream, ""));
    return answer.at("state").at("last_seq").get<uint64_t>();
}

bool BrokerClient::remove_message(const std::string& stream, uint64_t sequence) {
    const std::string body = "{\"seq\":" + std::to_string(sequence) + "}";
    const auto answer = nlohmann::json::parse(request("$JS.API.STREAM.MSG.DELETE." + stream, body));
    return answer.value("success", false);
}

bool BrokerClient::purge(const std::string& stream) {
    const auto answer = nlohmann::json::parse(request("$JS.API.STREAM.PURGE." + stream, ""));
    return answer.value("success", false);
}

std::optional<BrokerClient::Message> BrokerClient::message(const std::string& stream,
                                                           uint64_t sequence) {
    const std::string body = "{\"seq\":" + std::to_string(sequence) + "}";
    const auto answer = nlohmann::json::parse(request("$JS.API.STREAM.MSG.GET." + stream, body));
    if (!answer.contains("message")) {
        return std::nullopt;
    }
    const auto& message = answer.at("message");
    return Message{message.at("subject"), decoded(message.value("data", ""))};
}

bool BrokerClient::publish(const Message& message) {
    return nlohmann::json::parse(request(message.subject, message.bytes)).contains("seq");
}

std::string BrokerClient::request(const std::string& subject, const std::string& body) {
    const std::string inbox = "answers." + std::to_string(++requests_);
    send_text("PUB " + subject + " " + inbox + " " + std::to_string(body.size()) + "\r\n" + body +
              "\r\n");
    // "MSG subject sid size", then the bytes; "INFO {...}" and "PING" come between.
    while (true) {
        std::istringstream words(read_line());
        std::string kind;
        words >> kind;
        if (kind == "PING") {
            send_text("PONG\r\n");
        }
        if (kind != "MSG") {
            continue;
        }
        std::string to;
        std::string number;
        size_t bytes = 0;
        words >> to >> number >> bytes;
        std::string answer = read_bytes(bytes + 2);
        answer.resize(bytes);
        if (to == inbox) {
            return answer;
        }
    }
}

std::string BrokerClient::read_line() {
    size_t end = 0;
    while ((end = read_.find("\r\n")) == std::string::npos) {
        read_ += read_bytes(0);
    }
    std::string line = read_.substr(0, end);
    read_.erase(0, end + 2);
    return line;
}

/// 0: whatever comes next.
std::string BrokerClient::read_bytes(size_t count) {
    char buffer[65536];
    std::string bytes = count == 0 ? "" : std::exchange(read_, "");
    do {
        if (bytes.size() >= count && count != 0) {
            break;
        }
        const ssize_t got = recv(socket_, buffer, sizeof(buffer), 0);
        if (got <= 0) {
            throw std::runtime_error("nats-server does not answer");
        }
        bytes.append(buffer, static_cast<size_t>(got));
    } while (bytes.size() < count);
    if (count != 0) {
        read_ = bytes.substr(count);
        bytes.resize(count);
    }
    return bytes;
}

void BrokerClient::send_text(const std::string& text) const {
    if (send(socket_, text.data(), text.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(text.size())) {
        throw std::runtime_error("nats-server took no request");
    }
}

}  // namespace antipode::chaos
