#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/network.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {

/// A real nats-server with JetStream on a free port of loopback, or of another address of this
/// machine.
class NatsServer {
  public:
    /// `before`: words before its command.
    explicit NatsServer(std::filesystem::path directory, std::string address = "127.0.0.1",
                        std::vector<std::string> before = {});
    /// In another network, and at its address.
    NatsServer(std::filesystem::path directory, Network network);

    /// Starts it, on the same port and store as before, and waits until it answers.
    void start();
    void stop() { process_.stop(); }
    void kill() { process_.kill(); }
    Process& process() { return process_; }

    std::string url() const { return "nats://" + network_.address + ":" + std::to_string(port_); }
    const Network& network() const { return network_; }
    int port() const { return port_; }
    std::filesystem::path store_directory() const { return directory_ / "jetstream"; }

  private:
    std::filesystem::path directory_;
    Network network_;
    std::vector<std::string> before_;
    int port_;
    Process process_;
};

}  // namespace antipode::test
