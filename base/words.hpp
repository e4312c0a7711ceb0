#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace antipode {

/// "1 site", "2 sites".
inline std::string counted(uint64_t count, std::string_view one, std::string_view several) {
    return std::to_string(count) + " " + std::string(count == 1 ? one : several);
}

}  // namespace antipode
