#pragma once

#include <optional>
#include <string>

namespace antipode::test {

/// What `jq -r FILTER` prints for documents, without the last line's end. nullopt: it prints
/// nothing, or ends with an error. Throws std::invalid_argument when the filter is none.
/// Thread-safe. It is jq's library: the program takes 20 ms of a core only to begin, and tests ask
/// for conditions again and again.
std::optional<std::string> jq(const std::string& filter, const std::string& documents);
/// As `jq -er`: nullopt, too, where the last value is null or false.
std::optional<std::string> jq_if_true(const std::string& filter, const std::string& documents);

}  // namespace antipode::test
