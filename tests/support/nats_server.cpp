#include "tests/support/nats_server.hpp"

#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace antipode::test {
namespace {

bool greets(const std::string& host, int port) {
    const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    char first = 0;
    const bool greeted =
        connect(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
        recv(socket_fd, &first, 1, 0) == 1 && first == 'I';
    close(socket_fd);
    return greeted;
}

}  // namespace

NatsServer::NatsServer(std::filesystem::path directory, std::string address,
                       std::vector<std::string> before)
    : directory_(std::move(directory)),
      network_{-1, std::move(address)},
      before_(std::move(before)),
      port_(free_port()) {
    std::filesystem::create_directories(directory_);
    start();
}

NatsServer::NatsServer(std::filesystem::path directory, Network network)
    : directory_(std::move(directory)), network_(std::move(network)), port_(free_port()) {
    std::filesystem::create_directories(directory_);
    start();
}

void NatsServer::start() {
    const InNetwork inside(network_);
    std::vector<std::string> command = before_;
    command.insert(command.end(),
                   {"nats-server", "--addr", network_.address, "--port", std::to_string(port_),
                    "--jetstream", "--store_dir", directory_.string()});
    process_ = Process(command, {.log = directory_ / "nats-server.log",
                                 .directory = {},
                                 .environment = {},
                                 .as_unprivileged_user = false});
    bool greeted = false;
    eventually([&] {
        greeted = greets(network_.address, port_);
        return greeted || !process_.running();
    });
    if (!greeted) {
        throw std::runtime_error("nats-server does not answer; see " + directory_.string());
    }
}

}  // namespace antipode::test
