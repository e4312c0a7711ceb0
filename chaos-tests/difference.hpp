#pragma once

#include <optional>
#include <string>

namespace antipode::chaos {

/// The first entry of two maps of texts that only one of them has, or that differs. `one` and
/// `other`: what they are called.
template <typename Map>
std::optional<std::string> first_difference(const Map& left, const Map& right,
                                            const std::string& one, const std::string& other) {
    for (const auto& [key, value] : left) {
        const auto there = right.find(key);
        if (there == right.end()) {
            return key + " is on " + one + " only";
        }
        if (there->second != value) {
            return key + " is " + value + " and " + there->second;
        }
    }
    for (const auto& [key, value] : right) {
        if (!left.contains(key)) {
            return key + " is on " + other + " only";
        }
    }
    return std::nullopt;
}

}  // namespace antipode::chaos
