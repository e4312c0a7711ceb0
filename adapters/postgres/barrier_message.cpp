#include "adapters/postgres/barrier_message.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t most_bytes = 64 << 10;
constexpr size_t most_id_bytes = 64;

}  // namespace

std::string barrier_message(const DecodedBarrier& barrier) {
    return barrier.check + " " + barrier.snapshot;
}

std::optional<DecodedBarrier> parse_barrier_message(std::string_view message) {
    const size_t end = message.find(' ');
    if (end == std::string_view::npos || end == 0 || end > most_id_bytes ||
        message.size() > most_bytes) {
        return std::nullopt;
    }
    return DecodedBarrier{std::string(message.substr(0, end)),
                          std::string(message.substr(end + 1))};
}

}  // namespace antipode::postgres
