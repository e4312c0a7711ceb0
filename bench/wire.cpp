#include "bench/wire.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/support/process.hpp"

namespace antipode::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr const char* device = "wire";
constexpr size_t most_packets = 100'000;  ///< on the way; more are lost, as on any wire
constexpr std::chrono::milliseconds longest_wait(100);

int checked(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(errno, std::generic_category(), what);
    }
    return result;
}

/// An end of the wire in the network of this thread.
int make_end(const std::string& here, const std::string& there) {
    const int end = checked(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "/dev/net/tun");
    ifreq request{};
    std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    checked(ioctl(end, TUNSETIFF, &request), "making a network device");
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"addr", "add", here, "peer", there, "dev", device},
          {"link", "set", device, "up"},
          {"link", "set", "lo", "up"}}) {
        std::vector<std::string> command = {"ip"};
        command.insert(command.end(), words.begin(), words.end());
        test::must_run(command);
    }
    return end;
}

int this_network() {
    return checked(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "a network");
}

}  // namespace

Wire::Wire(std::chrono::microseconds one_way) : one_way_(one_way) {
    checked(unshare(CLONE_NEWNET), "a network of its own (root only)");
    primary_end_ = make_end(primary_address, mirror_address);
    const int home = this_network();
    checked(unshare(CLONE_NEWNET), "a network of its own");
    mirror_network_ = this_network();
    mirror_end_ = make_end(mirror_address, primary_address);
    checked(setns(home, CLONE_NEWNET), "back to the first network");
    close(home);
    there_ = std::jthread(
        [this](const std::stop_token& stop) { carry(primary_end_, mirror_end_, stop); });
    back_ = std::jthread(
        [this](const std::stop_token& stop) { carry(mirror_end_, primary_end_, stop); });
}

Wire::~Wire() {
    there_ = {};
    back_ = {};
    for (const int fd : {primary_end_, mirror_end_, mirror_network_}) {
        close(fd);
    }
}

std::vector<std::string> Wire::on_mirror() const {
    return {"nsenter",
            "--net=/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(mirror_network_)};
}

void Wire::carry(int from, int to, const std::stop_token& stop) {
    struct Packet {
        SteadyClock::time_point due;
        std::string bytes;
    };
    std::deque<Packet> on_the_way;
    std::array<char, 65536> buffer{};
    while (!stop.stop_requested()) {
        std::chrono::nanoseconds wait = longest_wait;
        if (!on_the_way.empty()) {
            wait = std::clamp<std::chrono::nanoseconds>(on_the_way.front().due - SteadyClock::now(),
                                                        std::chrono::nanoseconds(0), wait);
        }
        const timespec timeout{0, static_cast<long>(wait.count())};
        pollfd readable{from, POLLIN, 0};
        ppoll(&readable, 1, &timeout, nullptr);
        while (true) {
            const ssize_t size = read(from, buffer.data(), buffer.size());
            if (size <= 0) {
                break;
            }
            bytes_ += static_cast<uint64_t>(size);
            if (on_the_way.size() < most_packets) {
                on_the_way.push_back({SteadyClock::now() + one_way_,
                                      std::string(buffer.data(), static_cast<size_t>(size))});
            }
        }
        while (!on_the_way.empty() && on_the_way.front().due <= SteadyClock::now()) {
            const std::string& bytes = on_the_way.front().bytes;
            if (write(to, bytes.data(), bytes.size()) < 0 && errno == EAGAIN) {
                break;
            }
            on_the_way.pop_front();
        }
    }
}

}  // namespace antipode::bench
