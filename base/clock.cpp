#include "base/clock.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace antipode {

BootTime BootClock::now() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return BootTime(std::chrono::duration_cast<duration>(std::chrono::seconds(time.tv_sec) +
                                                         std::chrono::nanoseconds(time.tv_nsec)));
}

std::string to_iso8601(TimePoint time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds).count();
    const std::time_t unix_time = seconds.time_since_epoch().count();
    std::tm calendar{};
    gmtime_r(&unix_time, &calendar);
    std::array<char, 40> text{};
    const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &calendar);
    std::snprintf(text.data() + length, text.size() - length, ".%03dZ",
                  static_cast<int>(milliseconds));
    return text.data();
}

}  // namespace antipode
