#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "chaos-tests/lines.hpp"

namespace antipode::chaos {

/// Passes TCP connections that one site opens on to a port of the other. Bytes of a direction that
/// is cut wait, as a sender would send them again: they arrive when the line is whole, unless an
/// end gives up before. One thread.
class Proxy {
  public:
    /// `port`: of the target, on loopback. `to`: whether bytes towards the target pass; `from`:
    /// those that it answers.
    Proxy(int port, const std::atomic<bool>& to, const std::atomic<bool>& from,
          const std::atomic<bool>& reset);
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    int port() const { return port_; }

  private:
    /// One direction of a connection.
    struct Flow {
        int from = -1;
        int to = -1;
        std::string waiting;  ///< read, and not written yet
        bool ended = false;   ///< `from` sends no more
        bool told = false;    ///< `to` knows
    };
    struct Connection {
        int client = -1;
        int server = -1;
        std::array<Flow, 2> flows;  ///< to the target, from the target
        bool broken = false;
    };
    void run(const std::stop_token& stop);
    void accept_one();
    bool passes(size_t direction) const { return direction == 0 ? to_ : from_; }
    static void move_bytes(Connection& connection, Flow& flow);
    void drop_ended();

    const int target_;
    const std::atomic<bool>& to_;
    const std::atomic<bool>& from_;
    const std::atomic<bool>& reset_;
    int listener_ = -1;
    int port_ = 0;
    std::list<Connection> connections_;
    std::jthread thread_;
};

/// Places of one network, whose connections to each other go through proxies.
class ProxyLines : public Lines {
  public:
    /// The port of a proxy, by which `from` reaches this port of `to`.
    int join(const Place& from, const Place& to, int port);
    void set_flow(const Place& from, const Place& to, bool passes) override;
    void reset(const Place& one, const Place& other) override;
    void heal() override;

  private:
    struct Way {
        std::atomic<bool> passes{true};
        std::atomic<bool> reset{false};
    };
    Way& way(const Place& from, const Place& to) { return ways_[{from.name, to.name}]; }
    std::map<std::pair<std::string, std::string>, Way> ways_;
    std::vector<std::unique_ptr<Proxy>> proxies_;
};

}  // namespace antipode::chaos
