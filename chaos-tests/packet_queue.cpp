#include "chaos-tests/packet_queue.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/support/process.hpp"

namespace antipode::chaos {
namespace {

using std::chrono::milliseconds;

constexpr uint32_t most_waiting = 8192;
/// How long the thread may not see that it is to end.
constexpr milliseconds longest_wait{50};

/// What comes from other sites. Not what they send: TCP holds more back while its own packets wait
/// on its own machine.
std::vector<std::string> rule(const char* verb) {
    return {"iptables", "-w", verb, "INPUT", "-i", "line", "-j", "NFQUEUE", "--queue-num", "0"};
}

void check(bool works, const char* doing) {
    if (!works) {
        throw std::system_error(errno, std::generic_category(), doing);
    }
}

}  // namespace

PacketQueue::PacketQueue(const test::Network& network, const Line& line, uint64_t seed)
    : network_(network), line_(line), chance_(seed) {
    const test::InNetwork inside(network_);
    open();
    test::must_run(rule("-A"));
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

PacketQueue::~PacketQueue() {
    const test::InNetwork inside(network_);
    test::run(rule("-D"));
    thread_.request_stop();
    thread_.join();
    // What came until the rule was gone.
    take_all();
    let_go_until(Clock::time_point::max());
}

/// Its socket stays in the network in which it was made.
void PacketQueue::open() {
    handle_.reset(nfq_open());
    check(handle_ != nullptr, "opening a packet queue");
    queue_.reset(nfq_create_queue(handle_.get(), 0, on_packet, this));
    check(queue_ != nullptr, "making a packet queue");
    check(nfq_set_mode(queue_.get(), NFQNL_COPY_META, 0) >= 0, "setting up a packet queue");
    check(nfq_set_queue_maxlen(queue_.get(), most_waiting) >= 0, "bounding a packet queue");
}

PacketQueue::Counts PacketQueue::counts() const {
    if (problem_ != 0) {
        throw std::system_error(problem_, std::generic_category(), "reading a packet queue");
    }
    return {delayed_, overtaken_, lost_};
}

void PacketQueue::run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        pollfd socket{nfq_fd(handle_.get()), POLLIN, 0};
        poll(&socket, 1, static_cast<int>(until_next().count()));
        if (!take_all()) {
            problem_ = errno;
            return;
        }
        let_go_until(Clock::now());
    }
}

bool PacketQueue::take_all() {
    std::array<char, 65536> messages;
    for (;;) {
        const ssize_t size =
            recv(nfq_fd(handle_.get()), messages.data(), messages.size(), MSG_DONTWAIT);
        if (size >= 0) {
            nfq_handle_packet(handle_.get(), messages.data(), static_cast<int>(size));
        } else if (errno != EINTR && errno != ENOBUFS) {
            // ENOBUFS: the kernel has dropped what did not fit.
            return errno == EAGAIN;
        }
    }
}

int PacketQueue::on_packet(nfq_q_handle* /*queue*/, nfgenmsg* /*message*/, nfq_data* packet,
                           void* self) {
    if (const nfqnl_msg_packet_hdr* header = nfq_get_msg_packet_hdr(packet)) {
        static_cast<PacketQueue*>(self)->take(ntohl(header->packet_id));
    }
    return 0;
}

void PacketQueue::take(uint32_t packet) {
    if (chance_.below(100) < line_.lost_percent) {
        nfq_set_verdict(queue_.get(), packet, NF_DROP, 0, nullptr);
        ++lost_;
        return;
    }
    const auto jitter = static_cast<size_t>(line_.jitter.count());
    Clock::time_point due = Clock::now() + line_.delay + milliseconds(chance_.below(jitter + 1));
    if (chance_.below(100) < line_.held_percent) {
        due += line_.held;
    } else {
        due = last_due_ = std::max(due, last_due_);
    }
    waiting_.emplace(due, packet);
}

void PacketQueue::let_go_until(Clock::time_point time) {
    while (!waiting_.empty() && waiting_.begin()->first <= time) {
        const uint32_t packet = waiting_.begin()->second;
        waiting_.erase(waiting_.begin());
        delayed_ += line_.delay.count() > 0 ? 1 : 0;
        overtaken_ += packet < newest_gone_ ? 1 : 0;
        newest_gone_ = std::max(newest_gone_, packet);
        // Last: who gets it may look at the counts at once.
        nfq_set_verdict(queue_.get(), packet, NF_ACCEPT, 0, nullptr);
    }
}

/// Rounded up: it does not wake up for what is not due yet.
milliseconds PacketQueue::until_next() const {
    if (waiting_.empty()) {
        return longest_wait;
    }
    const auto left = std::chrono::ceil<milliseconds>(waiting_.begin()->first - Clock::now());
    return std::clamp(left, milliseconds(0), longest_wait);
}

}  // namespace antipode::chaos
