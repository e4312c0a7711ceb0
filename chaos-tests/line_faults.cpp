// What happens on the line between the sites.
#include <algorithm>
#include <stdexcept>

#include "chaos-tests/broker_client.hpp"
#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

/// That the events of now are in.
std::string event_stream(BrokerClient& broker) {
    std::string newest;
    for (const std::string& stream : broker.streams()) {
        const bool later =
            stream.size() > newest.size() || (stream.size() == newest.size() && stream > newest);
        newest = !stream.starts_with("KV_") && later ? stream : newest;
    }
    if (newest.empty()) {
        throw std::runtime_error("nats-server has no stream of events");
    }
    return newest;
}

std::vector<BrokerClient::Message> newest_messages(BrokerClient& broker, const std::string& stream,
                                                   uint64_t count) {
    std::vector<BrokerClient::Message> messages;
    const uint64_t last = broker.last_message(stream);
    for (uint64_t sequence = last - std::min(last, count) + 1; sequence <= last; ++sequence) {
        if (const auto message = broker.message(stream, sequence)) {
            messages.push_back(*message);
        }
    }
    return messages;
}

void publish_all(Stage& stage, BrokerClient& broker,
                 const std::vector<BrokerClient::Message>& messages) {
    for (const BrokerClient::Message& message : messages) {
        if (!broker.publish(message)) {
            throw std::runtime_error("nats-server takes no message for " + message.subject);
        }
        if (stage.chance.one_in(3)) {
            stage.hold(1);
        }
    }
}

void partition(Stage& stage) {
    stage.sites.cut();
    stage.hold_or_outlast(stage.some(25));
    stage.sites.heal();
}

void partition_one_way(Stage& stage) {
    stage.sites.set_flow(stage.any(), false);
    stage.hold_or_outlast(stage.some(25));
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
    stage.sites.reset_all();
    stage.hold_or_outlast(stage.some(15));
    stage.sites.heal();
}

/// The broker forgets some of what the other site has not fetched yet.
void lose_messages(Stage& stage) {
    Site& primary = stage.primary();
    stage.sites.reset_all();
    stage.hold(10);
    BrokerClient broker(primary.nats);
    bool removed = false;
    for (const std::string& stream : broker.streams()) {
        if (stream.starts_with("KV_")) {
            continue;
        }
        const uint64_t last = broker.last_message(stream);
        for (int times = stage.some(5); times > 0; --times) {
            const uint64_t back = stage.chance.below(12);
            removed |= last > back && broker.remove_message(stream, last - back);
        }
    }
    stage.sites.heal();
    if (!removed) {
        stage.miss("no stream had messages");
    }
}

/// The other site was away for longer than the stream keeps.
void overrun_stream(Stage& stage) {
    Site& primary = stage.primary();
    stage.sites.reset_all();
    stage.hold(stage.some(20));
    BrokerClient broker(primary.nats);
    stage.expect(broker.purge(event_stream(broker)), Invariant::Recovers, "nothing was purged");
    stage.hold(stage.some(6));
    stage.sites.heal();
}

/// Somebody publishes once more what is there.
void double_messages(Stage& stage) {
    BrokerClient broker(stage.any().nats);
    for (int times = stage.some(4); times > 0; --times) {
        const auto count = 1 + stage.chance.below(12);
        publish_all(stage, broker, newest_messages(broker, event_stream(broker), count));
        stage.hold(2);
    }
}

/// What the other site has not fetched yet stands there the other way round.
void reorder_messages(Stage& stage) {
    Site& primary = stage.primary();
    stage.sites.reset_all();
    stage.hold(10);
    BrokerClient broker(primary.nats);
    const std::string stream = event_stream(broker);
    const uint64_t last = broker.last_message(stream);
    const uint64_t count = std::min<uint64_t>(last, 2 + stage.chance.below(8));
    auto messages = newest_messages(broker, stream, count);
    for (uint64_t sequence = last - count + 1; sequence <= last; ++sequence) {
        broker.remove_message(stream, sequence);
    }
    std::reverse(messages.begin(), messages.end());
    publish_all(stage, broker, messages);
    stage.sites.heal();
}

/// Behind a change of the primary somebody publishes what was published before it.
void publish_old_epoch(Stage& stage) {
    BrokerClient before(stage.primary().nats);
    auto messages = newest_messages(before, event_stream(before), 2 + stage.chance.below(20));
    switch_over(stage);
    stage.load(2);
    for (const Site* site : stage.sites.all()) {
        BrokerClient broker(site->nats);
        const std::string stream = event_stream(broker);
        const auto newest = newest_messages(broker, stream, 1);
        if (newest.empty()) {
            throw std::runtime_error("nothing was published in the new epoch");
        }
        // "antipode.CLUSTER.eEPOCH.": another one for each epoch.
        const auto end_of_epoch = [](const std::string& subject) {
            return subject.find('.', subject.find('.', subject.find('.') + 1) + 1);
        };
        const std::string& now = newest.front().subject;
        for (BrokerClient::Message& message : messages) {
            message.subject = now.substr(0, end_of_epoch(now)) +
                              message.subject.substr(end_of_epoch(message.subject));
        }
        publish_all(stage, broker, messages);
    }
}

}  // namespace

std::vector<Fault> line_faults() {
    return {
        {"partition", "nothing passes in either direction for a while", Need::Nothing, partition},
        {"partition-one-way", "nothing passes in one direction for a while", Need::Nothing,
         partition_one_way},
        {"flap", "one direction, again and again", Need::Nothing, flap},
        {"reset", "connections are reset, new ones are refused", Need::Nothing, reset},
        losing({"lose-messages", "the broker loses messages that were not relayed yet",
                Need::Nothing, lose_messages}),
        {"overrun-stream", "the broker drops all that the other site has not fetched yet",
         Need::Nothing, overrun_stream},
        {"double-messages", "somebody publishes messages of either broker once more", Need::Nothing,
         double_messages},
        {"reorder-messages", "those that were not relayed yet stand there the other way round",
         Need::Nothing, reorder_messages},
        {"old-epoch", "a switchover; then messages from before it are published on both brokers",
         Need::Nothing, publish_old_epoch},
    };
}

}  // namespace antipode::chaos
