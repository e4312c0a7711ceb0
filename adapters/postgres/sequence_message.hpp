#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// The prefix of the logical messages that say where sequences stand.
constexpr std::string_view sequence_prefix = "antipode.sequences";

/// [["schema", "name", value, called, exact], ...]
std::string write_sequence_message(std::span<const SequenceState> states);

/// nullopt: nothing that write_sequence_message() wrote; anybody may have written it, and it must
/// not stop capture.
std::optional<DecodedSequences> parse_sequence_message(std::string_view content);

}  // namespace antipode::postgres
