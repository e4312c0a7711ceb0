#pragma once

#include <map>
#include <string>

namespace antipode {

/// What a database consists of besides its rows: "table public.items" and, in PostgreSQL's own
/// words, what it is. Without what is a server's own: the schema "antipode", publications, event
/// triggers, replica identities, settings of the database. Equal on both sites at equal places of
/// the log.
using Structure = std::map<std::string, std::string>;

/// The object that says which major version's words they are; other versions write differently.
inline constexpr const char* structure_server = "server";

}  // namespace antipode
