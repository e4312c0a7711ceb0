#include "chaos-tests/network.hpp"

#include <cerrno>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace antipode::chaos {
namespace {

constexpr size_t most_waiting_bytes = size_t{256} * 1024;
constexpr int look_again_ms = 20;  ///< whether the line is cut

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

int stream_socket() {
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

[[noreturn]] void fail(const char* doing) {
    throw std::system_error(errno, std::generic_category(), doing);
}

/// So that close() sends a reset.
void close_hard(int descriptor) {
    const linger at_once{1, 0};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(descriptor);
}

}  // namespace

Proxy::Proxy(int port, const std::atomic<bool>& to, const std::atomic<bool>& from,
             const std::atomic<bool>& reset)
    : target_(port), to_(to), from_(from), reset_(reset), listener_(stream_socket()) {
    sockaddr_in address = loopback(0);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    if (bind(listener_, generic, size) != 0 || listen(listener_, 64) != 0 ||
        getsockname(listener_, generic, &size) != 0) {
        fail("listening on loopback");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Proxy::~Proxy() {
    thread_ = {};
    for (Connection& connection : connections_) {
        connection.broken = true;
    }
    drop_ended();
    close(listener_);
}

void Proxy::run(const std::stop_token& stop) {
    std::vector<pollfd> polled;
    while (!stop.stop_requested()) {
        polled.assign(1, {listener_, POLLIN, 0});
        for (const Connection& connection : connections_) {
            for (size_t i = 0; i < 2; ++i) {
                const Flow& flow = connection.flows[i];
                const bool reads =
                    passes(i) && !flow.ended && flow.waiting.size() < most_waiting_bytes;
                polled.push_back({reads ? flow.from : -1, POLLIN, 0});
                const bool writes = passes(i) && !flow.waiting.empty();
                polled.push_back({writes ? flow.to : -1, POLLOUT, 0});
            }
        }
        poll(polled.data(), polled.size(), look_again_ms);
        if ((polled[0].revents & POLLIN) != 0) {
            accept_one();
        }
        for (Connection& connection : connections_) {
            connection.broken = connection.broken || reset_;
            for (size_t i = 0; i < 2; ++i) {
                if (passes(i)) {
                    move_bytes(connection, connection.flows[i]);
                }
            }
        }
        drop_ended();
    }
}

void Proxy::accept_one() {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
        return;
    }
    const int server = stream_socket();
    const sockaddr_in address = loopback(target_);
    const bool connects = !reset_ && (connect(server, reinterpret_cast<const sockaddr*>(&address),
                                              sizeof(address)) == 0 ||
                                      errno == EINPROGRESS);
    if (!connects) {
        close_hard(client);
        close(server);
        return;
    }
    const int at_once = 1;
    for (const int descriptor : {client, server}) {
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
    }
    Connection& made = connections_.emplace_back();
    made.client = client;
    made.server = server;
    made.flows[0] = {client, server, {}, false, false};
    made.flows[1] = {server, client, {}, false, false};
}

void Proxy::move_bytes(Connection& connection, Flow& flow) {
    char buffer[65536];
    while (!flow.ended && flow.waiting.size() < most_waiting_bytes) {
        const ssize_t count = recv(flow.from, buffer, sizeof(buffer), 0);
        if (count > 0) {
            flow.waiting.append(buffer, static_cast<size_t>(count));
        } else if (count == 0) {
            flow.ended = true;
        } else {
            // Not connected yet: the other end is being asked.
            connection.broken |= errno != EAGAIN && errno != ENOTCONN;
            break;
        }
    }
    while (!flow.waiting.empty()) {
        const ssize_t count = send(flow.to, flow.waiting.data(), flow.waiting.size(), MSG_NOSIGNAL);
        if (count < 0) {
            connection.broken |= errno != EAGAIN && errno != ENOTCONN;
            break;
        }
        flow.waiting.erase(0, static_cast<size_t>(count));
    }
    if (flow.ended && flow.waiting.empty() && !flow.told) {
        shutdown(flow.to, SHUT_WR);
        flow.told = true;
    }
}

int ProxyLines::join(const Place& from, const Place& to, int port) {
    Way& there = way(from, to);
    proxies_.push_back(
        std::make_unique<Proxy>(port, there.passes, way(to, from).passes, there.reset));
    return proxies_.back()->port();
}

void ProxyLines::set_flow(const Place& from, const Place& to, bool passes) {
    way(from, to).passes = passes;
}

void ProxyLines::reset(const Place& one, const Place& other) {
    way(one, other).reset = true;
    way(other, one).reset = true;
}

void ProxyLines::heal() {
    for (auto& [sites, way] : ways_) {
        way.reset = false;
        way.passes = true;
    }
}

void Proxy::drop_ended() {
    connections_.remove_if([](const Connection& connection) {
        const bool over = connection.flows[0].told && connection.flows[1].told;
        if (connection.broken) {
            close_hard(connection.client);
            close_hard(connection.server);
        } else if (over) {
            close(connection.client);
            close(connection.server);
        }
        return connection.broken || over;
    });
}

}  // namespace antipode::chaos
