#pragma once

#include <string>
#include <vector>

#include "chaos-tests/trial.hpp"

namespace antipode::chaos {

/// Over all trials: how many cases passed, failed, were skipped.
struct Sums {
    size_t passed = 0;
    size_t failed = 0;
    size_t skipped = 0;
};
Sums sums_of(const std::vector<Outcome>& outcomes);

/// For people: a line for each fault and each invariant, then what failed. Ends with
/// "N passed, N failed, N skipped".
std::string table_of(const std::vector<Outcome>& outcomes, const Probe& probe);
/// For programs: the same, with every case.
std::string json_of(const std::vector<Outcome>& outcomes, const Probe& probe);

}  // namespace antipode::chaos
