#pragma once

#include <optional>
#include <string_view>

#include "base/ids.hpp"
#include "base/seams/stream.hpp"
#include "protocol/message.hpp"

namespace antipode::protocol {

/// Where reading goes on behind a position.
struct Place {
    uint64_t sequence = 1;           ///< of the first message behind the position
    std::optional<ChainPoint> last;  ///< the message at or before the position, when it is held
    /// Right behind `last`, or of the first message that is held. What stands from here up to
    /// `sequence` is no message of ours, or damaged.
    uint64_t after = 1;
};

/// Finds the first message of `stream` behind `position`: positions grow along a stream, so a
/// binary search over the sequences it holds, O(log n) reads. Throws what the stream throws.
Place find_behind(Stream& stream, std::string_view cluster, uint64_t epoch,
                  const Position& position);

/// Where somebody else has written into the stream, positions do not grow everywhere, and
/// find_behind() may pass over what it looks for. Of the last few hundred messages before
/// `sequence`, the one that joins on to `last`; nullopt: there is none. Throws what the stream
/// throws.
std::optional<uint64_t> find_joining(Stream& stream, std::string_view cluster, uint64_t epoch,
                                     const ChainPoint& last, uint64_t sequence);

/// The newest message of ours; nullopt: there is none. Messages that are not ours are passed over.
std::optional<ChainPoint> find_newest(Stream& stream, std::string_view cluster, uint64_t epoch,
                                      const Stream::Info& info);

/// Lets go of what every reader has `applied`, but for a margin of the newest of it, which is
/// bounded in messages and in bytes. Throws what the stream throws.
void purge_through(Stream& stream, std::string_view cluster, uint64_t epoch,
                   const Position& applied);

}  // namespace antipode::protocol
