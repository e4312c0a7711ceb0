#pragma once

#include <optional>
#include <string_view>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Parses one message of the pgoutput plugin (protocol version 1), as the PostgreSQL manual lays it
/// out in "Logical Replication Message Formats". nullopt: a message that this lane has no use for
/// (origin, type, somebody else's logical message). Row bytes are checked and passed on as they
/// are; they point into `message`. Throws Error{Stop} when the bytes break the layout.
std::optional<Decoded> parse_pgoutput(std::string_view message);

/// Microseconds since 2000-01-01, as the protocol counts, in our time.
TimePoint from_postgres_time(int64_t microseconds);
int64_t to_postgres_time(TimePoint time);

}  // namespace antipode::postgres
