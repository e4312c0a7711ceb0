// What happens to packets between the sites: nobody is told, and TCP sends them again.
#include <stdexcept>

#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

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

}  // namespace

std::vector<Fault> packet_faults() {
    return {
        {"cut-packets", "packets vanish both ways until TCP has sent many again", Need::Networks,
         cut_packets},
        {"cut-packets-one-way", "the same of one direction, acknowledgements among them",
         Need::Networks, cut_packets_one_way},
        {"site-off-net", "the network interface of either site is down", Need::Networks,
         take_site_off_net},
    };
}

}  // namespace antipode::chaos
