#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "chaos-tests/faults.hpp"

namespace antipode::chaos {

/// What became of one fault, or of one invariant, in one trial.
struct Case {
    enum class Verdict { Passed, Failed, Skipped };
    std::string name;
    std::string how;
    Verdict verdict = Verdict::Passed;
    std::string detail;  ///< why it failed, or was skipped
    std::chrono::milliseconds recovery{0};
};

const char* name_of(Case::Verdict verdict);

/// nullptr: there is none.
const Fault* find_fault(const std::string& name);

struct Plan {
    uint64_t seed = 1;
    int faults = 8;  ///< at most
    /// Names of faults, in this order; empty: drawn by the seed.
    std::vector<std::string> only;
    /// No further fault after it.
    std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max();
    std::filesystem::path failures;  ///< where a failed trial's history and logs go
    std::function<void(const std::string&)> say = [](const std::string&) {};
};

struct Outcome {
    uint64_t seed = 0;
    std::vector<Case> faults;
    std::vector<Case> invariants;
    size_t operations = 0;
    size_t acknowledged = 0;
    size_t structures = 0;     ///< changes of it that were acknowledged
    size_t large = 0;          ///< files of more than a range that were
    size_t large_objects = 0;  ///< changes of them that were
    Reader::Seen seen;
    std::map<Invariant, size_t> violations;
    size_t lost = 0;                                 ///< as of Stage
    std::vector<std::chrono::milliseconds> stopped;  ///< as of Stage
    std::vector<std::chrono::milliseconds> opened;
    std::vector<std::chrono::milliseconds> refused;
    std::vector<std::chrono::milliseconds> equal;

    bool failed() const;
};

/// The faults that the seed draws: which of them, and in which order.
std::vector<const Fault*> schedule_of(const Plan& plan, const Probe& probe);

/// One seed: two fresh sites, a load, readers, one fault after the other, each behind the recovery
/// from the one before; then everything is compared. Throws nothing: what goes wrong is a failed
/// case.
Outcome run_trial(const Plan& plan, const Probe& probe);

}  // namespace antipode::chaos
