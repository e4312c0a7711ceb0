#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chaos-tests/lines.hpp"

namespace antipode::chaos {

/// Sites, and maybe a witness, that are in network namespaces of their own, joined by a bridge:
/// whatever is done to the lines is done to packets. All of it is in the network namespace that the
/// Probe made, and goes with this program, however that ends.
class PacketLines : public Lines {
  public:
    /// Throws when the machine cannot do it.
    PacketLines();
    ~PacketLines() override;

    /// The network of another place, by its name.
    test::Network add(const std::string& place);
    /// Packets vanish without a word: the sender's kernel knows an address that nobody has.
    void set_flow(const Place& from, const Place& to, bool passes) override;
    void reset(const Place& one, const Place& other) override;
    /// Its interface is down: what it sends fails at once, what others send vanishes.
    static void take_off(const Site& site);
    /// What it sends waits until so much per second has passed, or is dropped behind half a second;
    /// nullopt: it is as fast as the machine.
    static void slow_down(const Site& site, std::optional<unsigned> kilobits);
    void heal() override;

    /// How many segments TCP sent again in that network, until now.
    static uint64_t sent_again(const test::Network& network);

  private:
    struct Joined {
        std::string place;
        test::Network network;
    };
    std::vector<Joined> joined_;
};

}  // namespace antipode::chaos
