#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/nats_server.hpp"

namespace antipode::chaos {

/// Speaks to a nats-server in its text protocol: shares no code with the daemons, and may do what
/// they never do. Not thread-safe.
class BrokerClient {
  public:
    explicit BrokerClient(const test::NatsServer& server);
    ~BrokerClient();
    BrokerClient(const BrokerClient&) = delete;
    BrokerClient& operator=(const BrokerClient&) = delete;

    std::vector<std::string> streams();
    /// Its sequence; 0: there is none.
    uint64_t last_message(const std::string& stream);
    /// As if it had never been stored. False: it is not there.
    bool remove_message(const std::string& stream, uint64_t sequence);
    /// All of them; what comes next has the next sequence. False: there is no such stream.
    bool purge(const std::string& stream);
    struct Message {
        std::string subject;
        std::string bytes;
    };
    /// nullopt: it is not there.
    std::optional<Message> message(const std::string& stream, uint64_t sequence);
    /// False: no stream took it.
    bool publish(const Message& message);

  private:
    /// The answer's text. Throws when none comes within a few seconds.
    std::string request(const std::string& subject, const std::string& body);
    std::string read_line();
    std::string read_bytes(size_t count);
    void send_text(const std::string& text) const;
    int socket_ = -1;
    std::string read_;
    int requests_ = 0;
};

}  // namespace antipode::chaos
