#pragma once

#include <cstddef>
#include <cstdint>

namespace antipode::simulation {

/// The only source of randomness of a run: equal seeds give equal runs on every machine
/// (SplitMix64, http://xoshiro.di.unimi.it/splitmix64.c). One thread.
class Chance {
  public:
    explicit Chance(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}

    uint64_t next() {
        state_ += 0x9E3779B97F4A7C15;
        uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return mixed ^ (mixed >> 31);
    }
    /// 0 to `end` - 1.
    size_t below(size_t end) { return end == 0 ? 0 : next() % end; }
    /// Once in `times` on average; 0: never.
    bool one_in(size_t times) { return times != 0 && below(times) == 0; }

  private:
    uint64_t state_;
};

}  // namespace antipode::simulation
