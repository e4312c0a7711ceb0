#include "tests/support/nats_server.hpp"

#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace antipode::test {
namespace {

bool greets(int port) {
    const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char first = 0;
    const bool greeted =
        connect(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        recv(socket_fd, &first, 1, 0) == 1 && first == 'I';
    close(socket_fd);
    return greeted;
}

}  // namespace

NatsServer::NatsServer(std::filesystem::path directory)
    : directory_(std::move(directory)), port_(free_port()) {
    std::filesystem::create_directories(directory_);
    start();
}

void NatsServer::start() {
    process_ = Process({"nats-server", "--addr", "127.0.0.1", "--port", std::to_string(port_),
                        "--jetstream", "--store_dir", directory_.string()},
                       {.log = directory_ / "nats-server.log",
                        .directory = {},
                        .environment = {},
                        .as_unprivileged_user = false});
    if (!eventually([&] { return greets(port_); })) {
        throw std::runtime_error("nats-server does not answer; see " + directory_.string());
    }
}

}  // namespace antipode::test
