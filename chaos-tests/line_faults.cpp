// What happens on the line between the sites.
#include "chaos-tests/broker_client.hpp"
#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

void partition(Stage& stage) {
    stage.sites.line.forth = false;
    stage.sites.line.back = false;
    stage.hold(stage.some(25));
    stage.sites.heal();
}

void partition_one_way(Stage& stage) {
    stage.sites.set_flow(stage.any(), false);
    stage.hold(stage.some(25));
    stage.sites.heal();
}

void flap(Stage& stage) {
    for (int times = stage.some(6); times > 0; --times) {
        stage.sites.set_flow(stage.any(), false);
        stage.hold(1);
        stage.sites.heal();
        stage.hold(1);
    }
}

void reset(Stage& stage) {
    stage.sites.line.reset = true;
    stage.hold(stage.some(15));
    stage.sites.heal();
}

/// The broker forgets some of what the other site has not fetched yet.
void lose_messages(Stage& stage) {
    Site& primary = stage.primary();
    stage.sites.line.reset = true;
    stage.hold(10);
    BrokerClient broker(primary.nats.url());
    for (const std::string& stream : broker.streams()) {
        if (stream.starts_with("KV_")) {
            continue;
        }
        const uint64_t last = broker.last_message(stream);
        for (int times = stage.some(5); times > 0; --times) {
            const uint64_t back = stage.chance.below(12);
            if (last > back) {
                broker.remove_message(stream, last - back);
            }
        }
    }
    stage.sites.heal();
}

}  // namespace

std::vector<Fault> line_faults() {
    return {
        {"partition", "both directions of the line hold back all bytes", Need::Nothing, partition},
        {"partition-one-way", "one direction holds back all bytes", Need::Nothing,
         partition_one_way},
        {"flap", "one direction, again and again", Need::Nothing, flap},
        {"reset", "connections are reset, new ones are refused", Need::Nothing, reset},
        {"lose-messages", "the broker loses messages that were not relayed yet", Need::Nothing,
         lose_messages},
    };
}

}  // namespace antipode::chaos
