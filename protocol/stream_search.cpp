#include "protocol/stream_search.hpp"

#include <algorithm>
#include <limits>

#include "base/limits.hpp"

namespace antipode::protocol {
namespace {

/// How many messages in a row may be missing, asked for one by one, before they are passed over at
/// once: a damaged stream lacks thousands, and each costs a round trip.
constexpr uint64_t most_asked_for = 4;
/// How many in a row may not be ours.
constexpr uint64_t most_passed_over = 1000;
/// Of messages that many events share the margin would fill the stream.
constexpr uint64_t margin_bytes = 64 * limits::mib;

struct Found {
    uint64_t sequence = 0;
    ChainPoint point;
};

std::optional<Found> found_in(const StoredMessage& stored, std::string_view cluster,
                              uint64_t epoch) {
    auto opened = open(stored.bytes, cluster, epoch);
    if (const auto* message = std::get_if<Message>(&opened)) {
        return Found{stored.sequence, {message->position(), message->hash}};
    }
    return std::nullopt;
}

/// The nearest message of ours at or above `sequence`, and below `end`.
std::optional<Found> at_or_above(Stream& stream, std::string_view cluster, uint64_t epoch,
                                 uint64_t sequence, uint64_t end) {
    for (uint64_t asked = 0; asked < most_asked_for && sequence < end; ++asked, ++sequence) {
        const auto stored = stream.get(sequence);
        if (auto found = stored ? found_in(*stored, cluster, epoch) : std::nullopt) {
            return found;
        }
    }
    uint64_t passed = 0;
    while (sequence < end && passed < most_passed_over) {
        const auto messages = stream.read(sequence, limits::wait);
        if (messages.empty()) {
            return std::nullopt;
        }
        for (const StoredMessage& stored : messages) {
            if (stored.sequence >= end) {
                return std::nullopt;
            }
            if (auto found = found_in(stored, cluster, epoch)) {
                return found;
            }
        }
        passed += messages.size();
        sequence = messages.back().sequence + 1;
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
    // it, of which place.sequence is the first.
    uint64_t low = std::max<uint64_t>(info.first_sequence, 1);
    uint64_t high = info.last_sequence + 1;
    Place place{.sequence = std::max(low, high), .last = std::nullopt, .after = low};
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const auto found = at_or_above(stream, cluster, epoch, middle, high);
        if (!found) {
            high = middle;
        } else if (found->point.position <= position) {
            low = found->sequence + 1;
            place.last = found->point;
            place.after = low;
        } else {
            high = middle;
            place.sequence = found->sequence;
        }
    }
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
    for (uint64_t back = 0; back < most_asked_for && back < info.last_sequence; ++back) {
        const auto stored = stream.get(info.last_sequence - back);
        if (const auto found = stored ? found_in(*stored, cluster, epoch) : std::nullopt) {
            return found->point;
        }
    }
    constexpr uint64_t most = std::numeric_limits<uint64_t>::max();
    return find_behind(stream, cluster, epoch, {most, most, most}).last;
}

void purge_through(Stream& stream, std::string_view cluster, uint64_t epoch,
                   const Position& applied) {
    const Stream::Info info = stream.info();
    const uint64_t margin = margin_of(info);
    if (info.last_sequence < info.first_sequence + 2 * margin) {
        return;  // wherever that is, all behind it is within the margin
    }
    const uint64_t behind = find_behind(stream, cluster, epoch, applied).sequence;
    if (behind > info.first_sequence + 2 * margin) {
        stream.purge_below(behind - margin);
    }
}

}  // namespace antipode::protocol
