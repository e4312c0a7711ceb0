#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "tests/simulation/faults.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode::simulation {

inline const std::string cluster = "sim";
inline constexpr uint64_t epoch = 1;

/// One site's broker: a stream that fails, and knows what its messages carry.
class Broker {
  public:
    Broker(std::string name, Faults& faults);

    test::MemoryStream stream;

    // What happens to it.
    void lose_tail(uint64_t count);
    void make_anew();
    void lose(uint64_t sequence);

    /// Ends of the transactions behind `position` whose messages `would_stay`.
    std::set<uint64_t> transactions(const Position& position,
                                    const std::function<bool(uint64_t sequence)>& would_stay);
    /// Of the newest message up to `sequence`.
    Position newest(uint64_t sequence);
    /// True when a version of an item is in a message: see version_of_blob(); of a repository, it
    /// is a commit.
    bool carries(const std::string& version);

  private:
    struct Carried {
        Position position;
        uint64_t transaction = 0;  ///< its end
        std::vector<std::string> versions;
    };
    void learn();
    void forget(uint64_t sequence);

    const std::string name_;
    Faults& faults_;
    std::map<uint64_t, Carried> carried_;  ///< by sequence
    std::map<std::string, size_t> versions_;
    uint64_t learned_ = 0;
};

/// How a blob's version is named: contents that are pulled are known by their hash only.
std::string version_of_blob(const std::string& sha256);

}  // namespace antipode::simulation
