#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "chaos-tests/trial.hpp"

namespace antipode::chaos {

using Times = std::vector<std::chrono::milliseconds>;

/// What was done and found, over all trials.
struct Tally {
    size_t operations = 0;
    size_t acknowledged = 0;
    size_t structures = 0;  ///< as of Outcome
    size_t large = 0;
    size_t large_objects = 0;
    /// Faults that hit, by kind, in the order of the report.
    std::vector<std::pair<std::string, size_t>> done;
    size_t lost = 0;  ///< items and transactions, by promotions, and kept
    std::map<Invariant, size_t> violations;
    Times recoveries;  ///< of each fault: until every site had everything
    Times equal;       ///< as of Stage
    Times stopped;     ///< as of Stage
    Times opened;      ///< as of Stage
    Times refused;     ///< as of Stage
    Reader::Seen seen;
    std::string not_tried;  ///< faults that no trial has drawn, or that hit nothing
};
Tally tally_of(const std::vector<Outcome>& outcomes);

/// For people: lines, with histograms.
std::string text_of(const Tally& tally);
nlohmann::json json_of(const Tally& tally);

std::string seconds(std::chrono::milliseconds time);
nlohmann::json milliseconds_of(const Times& times);

}  // namespace antipode::chaos
