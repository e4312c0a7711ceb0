#pragma once

#include <filesystem>
#include <string>

#include "tests/support/process.hpp"

namespace antipode::test {

/// A real nats-server with JetStream on a free port of loopback.
class NatsServer {
  public:
    explicit NatsServer(std::filesystem::path directory);

    /// Starts it, on the same port and store as before, and waits until it answers.
    void start();
    void stop() { process_.stop(); }
    void kill() { process_.kill(); }
    Process& process() { return process_; }

    std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
    std::filesystem::path store_directory() const { return directory_ / "jetstream"; }

  private:
    std::filesystem::path directory_;
    int port_;
    Process process_;
};

}  // namespace antipode::test
