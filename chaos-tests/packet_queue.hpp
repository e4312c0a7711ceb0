#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <thread>

#include <libnetfilter_queue/libnetfilter_queue.h>

#include "base/handle.hpp"
#include "tests/simulation/chance.hpp"
#include "tests/support/network.hpp"

namespace antipode::chaos {

/// A bad line: packets that come to a site wait, overtake each other, or vanish, by a seed. The
/// kernel hands each to a thread of this program, which says later what becomes of it (NFQUEUE of
/// iptables-extensions(8)). Behind 8192 that wait the kernel drops, as routers do. It ends with the
/// object, and with this program: the network's namespace goes, too.
class PacketQueue {
  public:
    struct Line {
        std::chrono::milliseconds delay{0};   ///< of each packet
        std::chrono::milliseconds jitter{0};  ///< at most so much more; nothing overtakes by that
        unsigned held_percent = 0;            ///< so many of a hundred are held back ...
        std::chrono::milliseconds held{0};    ///< ... for so long; others overtake them
        unsigned lost_percent = 0;
    };
    struct Counts {
        uint64_t delayed = 0;
        uint64_t overtaken = 0;  ///< let go behind one that came later
        uint64_t lost = 0;
    };

    /// Throws when the machine cannot do it.
    PacketQueue(const test::Network& network, const Line& line, uint64_t seed);
    /// What waits is let go.
    ~PacketQueue();
    PacketQueue(const PacketQueue&) = delete;
    PacketQueue& operator=(const PacketQueue&) = delete;

    /// Until now. Throws when the queue does not work any more.
    Counts counts() const;

  private:
    using Clock = std::chrono::steady_clock;
    static int on_packet(nfq_q_handle* queue, nfgenmsg* message, nfq_data* packet, void* self);
    void open();
    void run(const std::stop_token& stop);
    /// False: the socket does not work any more.
    bool take_all();
    void take(uint32_t packet);
    void let_go_until(Clock::time_point time);
    std::chrono::milliseconds until_next() const;

    const test::Network network_;
    const Line line_;
    Handle<nfq_handle, nfq_close> handle_;
    Handle<nfq_q_handle, nfq_destroy_queue> queue_;

    // Of the thread.
    simulation::Chance chance_;
    std::multimap<Clock::time_point, uint32_t> waiting_;  ///< by when they go
    Clock::time_point last_due_;
    uint32_t newest_gone_ = 0;

    std::atomic<uint64_t> delayed_ = 0;
    std::atomic<uint64_t> overtaken_ = 0;
    std::atomic<uint64_t> lost_ = 0;
    std::atomic<int> problem_ = 0;
    std::jthread thread_;
};

}  // namespace antipode::chaos
