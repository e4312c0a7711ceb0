#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every queue, message, batch and wait has a limit. These are the fixed ones; the configurable
/// ones stand in base/config.hpp.
namespace antipode::limits {

inline constexpr size_t kib = 1024;
inline constexpr size_t mib = 1024 * kib;
inline constexpr size_t gib = 1024 * mib;

/// Payload bytes of one message; nats-server's max_payload stays at its default of 1 MiB.
inline constexpr size_t message_payload_bytes = 512 * kib;
/// Small events that share a message.
inline constexpr uint32_t events_in_message = 512;
/// A whole message, header included.
inline constexpr size_t message_bytes = 900 * kib;
/// A payload put together from its fragments (a 1 GB field is PostgreSQL's own limit).
inline constexpr size_t payload_bytes = gib + 64 * mib;
inline constexpr uint32_t fragments = payload_bytes / message_payload_bytes + 1;
/// A decoded payload may be this many times its compressed size, plus some room for small ones.
inline constexpr size_t codec_ratio = 1000;
/// Content up to this size travels in the event; larger content is pulled.
inline constexpr size_t inline_content_bytes = 256 * kib;
/// Large content is pulled in ranges of this size, several at the same time.
inline constexpr size_t pull_range_bytes = 8 * mib;
/// Content up to this size may come into memory, with others by one request; so many, and their
/// bytes.
inline constexpr size_t content_in_memory_bytes = 2 * mib;
inline constexpr size_t contents_at_once = 512;
inline constexpr size_t contents_bytes = 8 * mib;
/// Such contents that are held in memory until they are applied, or written to disk.
inline constexpr size_t contents_held_bytes = 32 * mib;
/// A large transaction is cut into parts of about this size.
inline constexpr size_t transaction_part_bytes = 256 * kib;
/// Messages in one append, and their bytes.
inline constexpr size_t append_messages = 512;
inline constexpr size_t append_bytes = 8 * mib;
/// One read from a stream.
inline constexpr size_t read_messages = 512;
inline constexpr size_t read_bytes = 8 * mib;
/// An item's name: a path below a root.
inline constexpr size_t item_name_bytes = 4096;
/// Items in one announcement.
inline constexpr size_t announcement_items = 512;
/// Messages that the primary's stream keeps below the position that every site has applied.
inline constexpr uint64_t stream_margin_messages = 10'000;
/// Any single blocking call returns within this time or watches a stop token.
inline constexpr std::chrono::milliseconds wait{500};

}  // namespace antipode::limits
