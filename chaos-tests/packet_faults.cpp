// What happens to packets between the sites: nobody is told, and TCP sends them again.
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/packet_queue.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

/// The line is mended, also where a fault could not go on.
class AtTheEnd {
  public:
    explicit AtTheEnd(std::function<void()> undo) : undo_(std::move(undo)) {}
    ~AtTheEnd() {
        try {
            undo_();
        } catch (const std::exception& error) {
            std::cerr << error.what() << "\n";  // the sites will not recover, which says the rest
        }
    }
    AtTheEnd(const AtTheEnd&) = delete;
    AtTheEnd& operator=(const AtTheEnd&) = delete;

  private:
    const std::function<void()> undo_;
};

uint64_t sent_again(Stage& stage) {
    uint64_t sum = 0;
    for (const Site* site : stage.sites.all()) {
        sum += PacketLines::sent_again(site->network);
    }
    return sum;
}

/// So many segments were sent in vain: TCP, and what stands upon it, has noticed, and waits longer
/// each time.
void hold_until_sent_again(Stage& stage) {
    const uint64_t before = sent_again(stage);
    const uint64_t segments = 20 + stage.chance.below(280);
    stage.hold(stage.some(25));
    const bool noticed =
        test::eventually([&] { return sent_again(stage) >= before + segments; }, 60s);
    if (!noticed) {
        throw std::runtime_error("nothing was sent again: no packet was lost");
    }
}

void cut_packets(Stage& stage) {
    stage.sites.cut();
    hold_until_sent_again(stage);
    stage.sites.heal();
}

void cut_packets_one_way(Stage& stage) {
    stage.sites.set_flow(stage.any(), false);
    hold_until_sent_again(stage);
    stage.sites.heal();
}

/// Who works there goes on.
void take_site_off_net(Stage& stage) {
    PacketLines::take_off(stage.any());
    for (int times = stage.some(4); times > 0; --times) {
        stage.hold(20);
    }
    stage.sites.heal();
}

/// A bad line in both directions, or in one; it is mended when this ends.
class BadLines {
  public:
    BadLines(Stage& stage, const PacketQueue::Line& line) {
        const bool both_ways = !stage.chance.one_in(3);
        for (const Site* site : both_ways ? stage.sites.all() : std::vector{&stage.any()}) {
            queues_.push_back(
                std::make_unique<PacketQueue>(site->network, line, stage.chance.next()));
        }
    }
    uint64_t count(uint64_t PacketQueue::Counts::*what) const {
        uint64_t sum = 0;
        for (const auto& queue : queues_) {
            sum += queue->counts().*what;
        }
        return sum;
    }

  private:
    std::vector<std::unique_ptr<PacketQueue>> queues_;
};

/// The load goes on, and so many packets are hit; all the while the mirrors follow.
void hold_behind(Stage& stage, const BadLines& lines, uint64_t PacketQueue::Counts::*what,
                 uint64_t packets) {
    stage.hold(stage.some(25));
    if (!test::eventually([&] { return lines.count(what) >= packets; }, 60s)) {
        stage.miss("only " + std::to_string(lines.count(what)) + " packets were hit");
    }
    stage.recover();
}

/// A long line: each packet comes late, some later than others.
void delay_packets(Stage& stage) {
    PacketQueue::Line line;
    line.delay = 10ms * stage.some(30);
    line.jitter = line.delay / stage.some(6);
    const BadLines lines(stage, line);
    hold_behind(stage, lines, &PacketQueue::Counts::delayed, 50 + stage.chance.below(200));
}

/// Many ways lead there, and some are longer.
void reorder_packets(Stage& stage) {
    PacketQueue::Line line;
    line.delay = 1ms * stage.some(20);
    line.held_percent = static_cast<unsigned>(5 * stage.some(6));
    line.held = 5ms * stage.some(20);
    const BadLines lines(stage, line);
    hold_behind(stage, lines, &PacketQueue::Counts::overtaken, 20 + stage.chance.below(80));
}

/// Some vanish, at random.
void thin_out_packets(Stage& stage) {
    PacketQueue::Line line;
    line.lost_percent = static_cast<unsigned>(stage.some(25));
    const BadLines lines(stage, line);
    hold_until_sent_again(stage);
    if (lines.count(&PacketQueue::Counts::lost) == 0) {
        stage.miss("no packet was lost");
    }
}

/// A thin line, whose queue is long: what is sent comes late, or not at all.
void slow_down(Stage& stage) {
    const auto kilobits = static_cast<unsigned>(64 * stage.some(24));
    const Site& site = stage.any();
    PacketLines::slow_down(site, kilobits);
    const AtTheEnd undo([&] { PacketLines::slow_down(site, std::nullopt); });
    for (int times = stage.some(6); times > 0; --times) {
        stage.hold(20);
    }
}

}  // namespace

std::vector<Fault> packet_faults() {
    return {
        {"cut-packets", "packets vanish both ways until TCP has sent many again", Need::Networks,
         cut_packets},
        {"cut-packets-one-way", "the same of one direction, acknowledgements among them",
         Need::Networks, cut_packets_one_way},
        {"site-off-net", "the network interface of either site is down", Need::Networks,
         take_site_off_net},
        {"thin-out-packets", "up to a quarter of all packets vanish, at random", Need::PacketQueues,
         thin_out_packets},
        {"delay-packets", "packets come 20 to 450 ms late, both ways or one, in their order",
         Need::PacketQueues, delay_packets},
        {"reorder-packets", "up to a third of all packets are overtaken by later ones",
         Need::PacketQueues, reorder_packets},
        {"slow-line", "what either site sends waits in a queue, or is dropped behind it",
         Need::Networks, slow_down},
    };
}

}  // namespace antipode::chaos
