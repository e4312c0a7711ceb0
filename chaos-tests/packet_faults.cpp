// What happens to packets between the sites: nobody is told, and TCP sends them again.
#include <functional>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "chaos-tests/faults.hpp"

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

/// A bad line: some vanish each way, at random.
void thin_out_packets(Stage& stage) {
    const auto percent = static_cast<unsigned>(stage.some(25));
    for (const Site* site : stage.sites.all()) {
        PacketLines::thin_out(*site, percent);
    }
    const AtTheEnd undo([&] {
        for (const Site* site : stage.sites.all()) {
            PacketLines::thin_out(*site, 0);
        }
    });
    hold_until_sent_again(stage);
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
        {"thin-out-packets", "up to a quarter of all packets vanish, at random", Need::PacketFilter,
         thin_out_packets},
        {"slow-line", "what either site sends waits in a queue, or is dropped behind it",
         Need::Networks, slow_down},
    };
}

}  // namespace antipode::chaos
