#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The texts that the bulk service of a database store answers with: lines of words. A word is a
/// name with every byte but letters, digits, '_', '-' and '.' written %XX, or a number.
///
///     database/<store>/tables      schema table rows bytes       (estimates)
///     database/<store>/sequences   schema sequence value called  (called: 0 or 1)
///     database/<store>/ranges      column after up_to            (after, up_to: "-" is none)
///     database/<store>/copy        first line: the columns' names; the rest is COPY's text
///                                  format, or its binary one when a header says so
namespace antipode::protocol {

/// Headers of "tables": the slot's confirmed position, from which on the stream has everything.
inline constexpr const char* confirmed_header = "antipode-confirmed-lsn";
/// Headers of "copy": pg_current_snapshot() of the rows, and the end of the log just after it. Of
/// "schema": a snapshot from before it was read.
inline constexpr const char* snapshot_header = "antipode-snapshot";
inline constexpr const char* wal_end_header = "antipode-wal-end";
/// Header of a binary "copy": the columns' types, as OIDs with commas between.
inline constexpr const char* binary_types_header = "antipode-binary-types";

using Words = std::vector<std::string>;

std::string encode_line(const Words& words);
/// nullopt when `line` (without its newline) is malformed.
std::optional<Words> decode_line(std::string_view line);

/// A whole decimal number, with a sign or without.
std::optional<int64_t> decode_number(std::string_view text);
/// Stands where a range has no bound.
inline constexpr const char* no_bound = "-";

/// Whole lines only; nullopt when a line is malformed, has not `width` words, or the last is cut.
std::optional<std::vector<Words>> decode_lines(std::string_view text, size_t width);

}  // namespace antipode::protocol
