#include "base/duration.hpp"

#include <cstdint>

namespace antipode {

std::optional<std::chrono::milliseconds> parse_duration(const std::string& text) {
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    if (digits == 0 || digits > 9) {
        return std::nullopt;
    }
    const int64_t number = std::stoll(text.substr(0, digits));
    const std::string unit = text.substr(digits);
    const int64_t factor = unit == "ms"  ? 1
                           : unit == "s" ? 1000
                           : unit == "m" ? 60'000
                           : unit == "h" ? 3'600'000
                           : unit == "d" ? 86'400'000
                                         : 0;
    return factor == 0 ? std::nullopt : std::optional(std::chrono::milliseconds(number * factor));
}

}  // namespace antipode
