#include "tests/simulation/journal.hpp"

#include <algorithm>

namespace antipode::simulation {

void Journal::note(const std::string& line) {
    constexpr int64_t start_us = 1'600'000'000'000'000;
    std::string text = std::to_string(to_microseconds(clock_.now()) - start_us) + "us " + line;
    for (const char byte : text) {
        hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    }
    lines_.push_back(std::move(text));
}

std::string Journal::tail(size_t most) const {
    std::string text;
    for (size_t i = lines_.size() - std::min(most, lines_.size()); i < lines_.size(); ++i) {
        text += lines_[i] + "\n";
    }
    return text;
}

}  // namespace antipode::simulation
