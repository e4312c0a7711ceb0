#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace antipode::bench {

/// Two networks of their own, one for each site, and a wire between them that delays every packet
/// and counts its bytes (IP packets, in both directions). The thread that makes it, and programs
/// that it starts from then on, are in the primary's network. Root only; once.
class Wire {
  public:
    static constexpr const char* primary_address = "10.77.0.1";
    static constexpr const char* mirror_address = "10.77.0.2";

    explicit Wire(std::chrono::microseconds one_way);
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    /// The words before a command that is to run in the mirror's network.
    std::vector<std::string> on_mirror() const;
    uint64_t bytes() const { return bytes_; }

  private:
    void carry(int from, int to, const std::stop_token& stop);

    const std::chrono::microseconds one_way_;
    int mirror_network_ = -1;
    int primary_end_ = -1;
    int mirror_end_ = -1;
    std::atomic<uint64_t> bytes_ = 0;
    std::jthread there_;
    std::jthread back_;
};

}  // namespace antipode::bench
