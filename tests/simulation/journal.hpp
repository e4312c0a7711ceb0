#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace antipode::simulation {

/// What happened in a run, line by line, and a hash of it: equal hashes, equal runs.
class Journal {
  public:
    explicit Journal(const ManualClock& clock) : clock_(clock) {}

    void note(const std::string& line);
    uint64_t hash() const { return hash_; }
    /// The newest lines, at most `most`.
    std::string tail(size_t most) const;

  private:
    const ManualClock& clock_;
    std::vector<std::string> lines_;
    uint64_t hash_ = 0xcbf29ce484222325;  // FNV-1a
};

}  // namespace antipode::simulation
