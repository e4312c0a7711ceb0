#include "protocol/stream_search.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace antipode::protocol {
namespace {

/// How many messages in a row may be missing or not ours.
constexpr uint64_t most_passed_over = 1000;
/// Of messages that many events share the margin would fill the stream.
constexpr uint64_t margin_bytes = 64 * limits::mib;

struct Found {
    uint64_t sequence = 0;
    ChainPoint point;
};

/// The nearest message of ours at or below `sequence`, not below `floor`.
std::optional<Found> at_or_below(Stream& stream, std::string_view cluster, uint64_t epoch,
                                 uint64_t sequence, uint64_t floor) {
    for (uint64_t passed = 0; passed < most_passed_over && sequence >= floor && sequence > 0;
         ++passed, --sequence) {
        const auto stored = stream.get(sequence);
        if (!stored) {
            continue;
        }
        auto opened = open(stored->bytes, cluster, epoch);
        if (const auto* message = std::get_if<Message>(&opened)) {
            return Found{sequence, {message->position(), message->hash}};
        }
    }
    return std::nullopt;
}

uint64_t margin_of(const Stream::Info& info) {
    const uint64_t mean =
        info.messages == 0 ? 1 : std::max<uint64_t>(1, info.bytes / info.messages);
    return std::min(limits::stream_margin_messages, margin_bytes / mean);
}

}  // namespace

Place find_behind(Stream& stream, std::string_view cluster, uint64_t epoch,
                  const Position& position) {
    const Stream::Info info = stream.info();
    // Everything below `low` is at or before the position; everything at or above `high` is behind
    // it.
    uint64_t low = std::max<uint64_t>(info.first_sequence, 1);
    uint64_t high = info.last_sequence + 1;
    Place place{.sequence = low, .last = std::nullopt, .after = low};
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const auto found = at_or_below(stream, cluster, epoch, middle, low);
        if (!found) {
            low = middle + 1;
        } else if (found->point.position <= position) {
            low = middle + 1;
            place.last = found->point;
            place.after = found->sequence + 1;
        } else {
            high = found->sequence;
        }
    }
    place.sequence = low;
    return place;
}

std::optional<uint64_t> find_joining(Stream& stream, std::string_view cluster, uint64_t epoch,
                                     const ChainPoint& last, uint64_t sequence) {
    uint64_t next = sequence - std::min<uint64_t>(sequence, limits::read_messages);
    while (next < sequence) {
        const auto messages = stream.read(next, limits::wait);
        if (messages.empty()) {
            return std::nullopt;
        }
        for (const StoredMessage& stored : messages) {
            auto opened = open(stored.bytes, cluster, epoch);
            const auto* message = std::get_if<Message>(&opened);
            if (stored.sequence < sequence && message != nullptr &&
                continuity(last, *message) == Continuity::Joins) {
                return stored.sequence;
            }
        }
        next = messages.back().sequence + 1;
    }
    return std::nullopt;
}

std::optional<ChainPoint> find_newest(Stream& stream, std::string_view cluster, uint64_t epoch,
                                      const Stream::Info& info) {
    const auto found = at_or_below(stream, cluster, epoch, info.last_sequence, info.first_sequence);
    return found ? std::optional(found->point) : std::nullopt;
}

void purge_through(Stream& stream, std::string_view cluster, uint64_t epoch,
                   const Position& applied) {
    const uint64_t behind = find_behind(stream, cluster, epoch, applied).sequence;
    const Stream::Info info = stream.info();
    const uint64_t margin = margin_of(info);
    if (behind > info.first_sequence + 2 * margin) {
        stream.purge_below(behind - margin);
    }
}

}  // namespace antipode::protocol
