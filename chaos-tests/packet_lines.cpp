#include "chaos-tests/packet_lines.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace antipode::chaos {
namespace {

/// What ip(8) reads with -batch, a command a line.
void configure(const std::string& commands) {
    test::must_run({"ip", "-batch", "-"}, commands);
}

void configure(const test::Network& network, const std::string& commands) {
    const test::InNetwork inside(network);
    configure(commands);
}

/// A thread leaves the others' network when it makes one.
int make_space() {
    int space = -1;
    int problem = 0;
    std::jthread([&] {
        if (unshare(CLONE_NEWNET) == 0) {
            space = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        }
        problem = errno;
    }).join();
    if (space < 0) {
        throw std::system_error(problem, std::generic_category(), "making a network namespace");
    }
    return space;
}

void refuse(const Place& site, const Place& other) {
    configure(site.network, "route replace unreachable " + other.network.address + "\n");
}

/// With a reset to the other end, if there is still a way there.
void end_connections(const Place& site, const Place& other) {
    const test::InNetwork inside(site.network);
    test::must_run({"ss", "-K", "-H", "dst", other.network.address});
}

}  // namespace

PacketLines::PacketLines() {
    configure("link add name sites type bridge\nlink set sites up\n");
}

PacketLines::~PacketLines() {
    // A namespace may live on for a moment, its name on the bridge must not.
    for (const Joined& joined : joined_) {
        test::run({"ip", "link", "delete", joined.place});
        close(joined.network.descriptor);
    }
    test::run({"ip", "link", "delete", "sites"});
}

test::Network PacketLines::add(const std::string& place) {
    const int space = make_space();
    const std::string address = "10.0.0." + std::to_string(joined_.size() + 1);
    const test::Network network{space, address};
    joined_.push_back({place, network});
    configure("link add name " + place + " type veth peer name line netns /proc/" +
              std::to_string(getpid()) + "/fd/" + std::to_string(space) + "\nlink set " + place +
              " master sites up\n");
    configure(network,
              "link set lo up\naddress add " + address + "/24 dev line\n" + "link set line up\n");
    return network;
}

void PacketLines::set_flow(const Place& from, const Place& to, bool passes) {
    const std::string neighbour = to.network.address + " dev line";
    // A packet that its sender's kernel cannot send would be an error there, not a loss.
    configure(from.network,
              passes ? "neigh delete " + neighbour + "\n"
                     : "neigh replace " + neighbour + " lladdr 02:00:00:00:00:00 nud permanent\n");
}

void PacketLines::reset(const Place& one, const Place& other) {
    // First: nobody connects again between the two commands.
    refuse(one, other);
    refuse(other, one);
    end_connections(one, other);
    end_connections(other, one);
}

void PacketLines::take_off(const Site& site) {
    configure(site.network, "link set line down\n");
}

void PacketLines::slow_down(const Site& site, std::optional<unsigned> kilobits) {
    const test::InNetwork inside(site.network);
    if (!kilobits) {
        test::must_run({"tc", "qdisc", "delete", "dev", "line", "root"});
        return;
    }
    test::must_run({"tc", "qdisc", "replace", "dev", "line", "root", "tbf", "rate",
                    std::to_string(*kilobits) + "kbit", "burst", "16kb", "latency", "500ms"});
}

void PacketLines::heal() {
    for (const Joined& joined : joined_) {
        configure(joined.network,
                  "link set line up\nneigh flush dev line nud permanent\n"
                  "route flush type unreachable\n");
    }
}

uint64_t PacketLines::sent_again(const test::Network& network) {
    const test::InNetwork inside(network);
    // Two lines: names, then values (proc_net_snmp in the kernel's documentation).
    std::istringstream lines(test::read_file("/proc/thread-self/net/snmp"));
    std::vector<std::string> names;
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("Tcp:")) {
            continue;
        }
        std::istringstream words(line);
        const std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
        if (names.empty()) {
            names = all;
            continue;
        }
        const auto found = std::find(names.begin(), names.end(), "RetransSegs");
        return std::stoull(all.at(static_cast<size_t>(found - names.begin())));
    }
    throw std::runtime_error("the kernel does not count what TCP sends again");
}

}  // namespace antipode::chaos
