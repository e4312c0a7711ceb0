#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/seams/chunks.hpp"

/// What the bulk service answers a check with: lines of words (protocol/table_list.hpp).
///
///     check/digests   rows-2 schema table whole-row(0|1) buckets [range's type]
///                     columns ...
///                     columns of the key ...
///                     bounds ...
///                     chunk rows sum                  (a line for each chunk that has rows)
///     check/keys      hash chunk key rows sum         (a line for each key)
namespace antipode::protocol {

/// Instead, when the table is not in the snapshot, or was rewritten since. Empty lines before an
/// answer say that it is worked on.
inline const std::string not_readable = "not-readable\n";
/// Instead, when it cannot be read now: "unreadable ", and why, in one line.
inline constexpr std::string_view unreadable = "unreadable ";

std::string encode_chunks(const ChunkedTable& table);
/// nullopt when it is malformed, or of another version of the digest.
std::optional<ChunkedTable> decode_chunks(std::string_view text);

std::string encode_keys(const KeyDigests& keys);
std::optional<KeyDigests> decode_keys(std::string_view text);

/// "3,17,18", as a query parameter.
std::string encode_numbers(const std::set<uint32_t>& numbers);
std::optional<std::set<uint32_t>> decode_numbers(std::string_view text);

}  // namespace antipode::protocol
