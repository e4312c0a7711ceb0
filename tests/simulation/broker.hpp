#pragma once

#include <functional>
#include <map>
#include <optional>
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
    /// Somebody stores a message once more.
    void repeat(uint64_t sequence);
    /// A message is stored again behind those that came after it.
    void put_off(uint64_t sequence);
    /// A primary whose time is over publishes a blob as it was once.
    void put_stale(const std::string& path, uint64_t session);

    /// A part of a transaction, as a session published it.
    struct Part {
        uint64_t session = 0;
        uint64_t commit = 0;
        uint32_t number = 0;
        uint64_t end = 0;  ///< the transaction's, in its last part; 0: not the last

        auto operator<=>(const Part&) const = default;
    };
    /// Those behind `position` whose messages `would_stay`.
    std::set<Part> parts(const Position& position,
                         const std::function<bool(uint64_t sequence)>& would_stay);
    /// Ends of the transactions all of whose parts are among `parts`.
    static std::set<uint64_t> whole(const std::set<Part>& parts);
    /// Of the newest message up to `sequence`.
    Position newest(uint64_t sequence);
    /// The end of the newest transaction that it ever held, as far as it is known.
    Lsn held() const { return held_; }
    /// True when a version of an item is in a message: see version_of_blob(); of a repository, it
    /// is a commit.
    bool carries(const std::string& version);

  private:
    struct Carried {
        Position position;
        std::optional<Part> part;
        std::vector<std::string> versions;
    };
    void put_stray(const std::string& bytes);
    void learn();
    void forget(uint64_t sequence);

    const std::string name_;
    Faults& faults_;
    std::map<uint64_t, Carried> carried_;  ///< by sequence
    std::set<uint64_t> strays_;            ///< sequences of what nobody can be expected to use
    std::map<std::string, size_t> versions_;
    uint64_t learned_ = 0;
    Lsn held_;
};

/// How a blob's version is named: contents that are pulled are known by their hash only.
std::string version_of_blob(const std::string& sha256);

}  // namespace antipode::simulation
