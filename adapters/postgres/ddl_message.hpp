#pragma once

#include <optional>
#include <string_view>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// The prefix of the logical messages that the event triggers (ddl_setup.hpp) write.
constexpr std::string_view ddl_prefix = "antipode.ddl";

/// Reads such a message: finds the statement that fired in the text that was run, and writes it as
/// a mirror can run it, in a transaction and without filling tables from queries, because their
/// rows come as rows. nullopt: it concerns temporary tables only. What a mirror cannot do right
/// gets a problem, never an exception: it must not stop capture.
std::optional<DdlStatement> parse_ddl_message(std::string_view content);

}  // namespace antipode::postgres
