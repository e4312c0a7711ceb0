#pragma once

#include <map>
#include <optional>
#include <string>

namespace antipode::chaos {

/// What a fault needs of the machine. Each is found by trying it, not by asking who we are.
enum class Need {
    Nothing,       ///< processes, signals and sockets of our own
    Mounts,        ///< file systems of our own, in a mount namespace of our own (disk full)
    Trace,         ///< strace, which kills a process at a call, or has the call fail
    Power,         ///< ext4 on loop devices that lose what is not synced
    FailingSync,   ///< Trace and Power
    Clock,         ///< libfaketime, which gives processes a clock that can be set
    Networks,      ///< network namespaces, joined by a bridge
    PacketQueues,  ///< Networks, and a say in what becomes of each packet
};
const char* name_of(Need need);

/// Moves the calling thread, with what it starts from then on, into a network of its own, in which
/// there is nothing but loopback: nobody else's address is in its way. Throws std::system_error.
void enter_own_network();

/// What this machine can do. Made once, before any thread: it moves this process into a mount
/// namespace and a network namespace of its own, so that no mount and no interface outlives it, and
/// nobody else's address is in its way.
class Probe {
  public:
    /// `networks`: false: it stays in the network that it is in, and is said to have no other.
    explicit Probe(bool networks = true);
    /// Why not; nullopt: it can.
    std::optional<std::string> missing(Need need) const;
    /// What gives a process another clock; empty: it is not here.
    static std::string clock_library();
    /// Everything that was tried, with its outcome: the needs, and what could be used beyond them.
    const std::map<std::string, std::string>& tried() const { return tried_; }

  private:
    void try_mounts();
    void try_trace();
    void try_power();
    void try_clock();
    void try_networks();
    void try_packet_queues();
    void note(Need need, const std::string& outcome);
    void try_others();
    std::map<Need, std::string> missing_;
    std::map<std::string, std::string> tried_;
};

}  // namespace antipode::chaos
