#include "apps/antipode/nats_greeting.hpp"

#include <array>

#include <nlohmann/json.hpp>

#include "adapters/http/socket.hpp"
#include "base/address.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

constexpr std::chrono::milliseconds timeout{3000};
constexpr size_t longest_info = 64 * 1024;

http::Socket connect(const NatsAddress& address, const std::string& url) {
    try {
        return http::Socket::connect(address.host, address.port, timeout, {});
    } catch (const Error& error) {
        // The socket speaks of HTTP, which is what it is made for.
        std::string reason = error.what();
        reason =
            reason.substr(reason.rfind(": ") == std::string::npos ? 0 : reason.rfind(": ") + 2);
        throw Error(error.reaction(), "no nats-server answers at " + url + ": " + reason,
                    error.next_step());
    }
}

}  // namespace

NatsAddress NatsAddress::parse(const std::string& url) {
    const Error no_address(Reaction::Stop, "\"" + url + "\" is no address of a nats-server",
                           "write it nats://host:4222");
    std::string rest = url;
    const size_t scheme = rest.find("://");
    if (scheme != std::string::npos) {
        if (rest.substr(0, scheme) != "nats" && rest.substr(0, scheme) != "tls") {
            throw no_address;
        }
        rest = rest.substr(scheme + 3);
    }
    const size_t user = rest.rfind('@');
    rest = user == std::string::npos ? rest : rest.substr(user + 1);
    const auto parsed = HostPort::parse(rest);
    if (!parsed || parsed->port == uint16_t{0}) {
        throw no_address;
    }
    return {parsed->host, parsed->port.value_or(NatsAddress{}.port)};
}

NatsGreeting parse_nats_info(const std::string& line) {
    const bool info = line.starts_with("INFO ");
    const auto document = nlohmann::json::parse(info ? line.substr(5) : "", nullptr, false);
    if (!document.is_object() || !document.contains("version") ||
        !document["version"].is_string()) {
        throw Error(Reaction::Retry, "what answers there is no nats-server",
                    "mend the address in the configuration");
    }
    const auto jetstream = document.find("jetstream");
    return {document["version"].get<std::string>(),
            jetstream != document.end() && jetstream->is_boolean() && jetstream->get<bool>()};
}

NatsGreeting greet_nats(const std::string& url) {
    const NatsAddress address = NatsAddress::parse(url);
    http::Socket socket = connect(address, url);
    socket.set_timeout(timeout);
    socket.set_deadline(std::chrono::steady_clock::now() + timeout);
    std::string line;
    std::array<char, 4096> buffer{};
    while (line.find('\n') == std::string::npos && line.size() < longest_info) {
        const size_t size = socket.read_some(buffer);
        if (size == 0) {
            break;
        }
        line.append(buffer.data(), size);
    }
    return parse_nats_info(line.substr(0, line.find('\r')));
}

}  // namespace antipode::cli
