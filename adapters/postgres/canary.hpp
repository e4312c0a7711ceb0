#pragma once

#include <string>

#include "base/ids.hpp"

namespace antipode::postgres {

/// Shows that a database takes writes: puts `word` into a table of the schema "antipode", which is
/// not replicated, in a transaction that is synced, and reads it on another connection. As the
/// daemon's role, whose sessions fire no triggers and do not heed default_transaction_read_only.
/// Where the log ended then. Throws Error: Retry, Stop, with the server's words.
Lsn write_canary(const std::string& url, const std::string& application_name,
                 const std::string& word);

}  // namespace antipode::postgres
