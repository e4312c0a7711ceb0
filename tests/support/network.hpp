#pragma once

#include <string>

namespace antipode::test {

/// The network that a server's sockets are in.
struct Network {
    /// Of a network namespace (network_namespaces(7)), open for as long as anybody uses it; -1:
    /// this program's own.
    int descriptor = -1;
    std::string address = "127.0.0.1";  ///< under which servers in it are reached
};

/// While it lives, the thread that made it is in that network, with every program that the thread
/// starts. Sockets stay where they were made. Needs root, but for the program's own network.
class InNetwork {
  public:
    explicit InNetwork(const Network& network);
    ~InNetwork();
    InNetwork(const InNetwork&) = delete;
    InNetwork& operator=(const InNetwork&) = delete;

  private:
    int before_ = -1;
};

}  // namespace antipode::test
