#pragma once

#include <string_view>

/// Bugs that bugs.cmake plants into copies of the core's sources; the product's own sources and
/// programs know nothing of it.
namespace antipode::planted {

/// The one bug that is there now; empty: none. Set before anything runs.
inline std::string_view current;

inline bool is(std::string_view bug) {
    return current == bug;
}

}  // namespace antipode::planted
