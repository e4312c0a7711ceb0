#pragma once

#include <string>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

/// Runs `sql`, which may call code of users, in the open transaction with the rights of `role`. No
/// such code gets the session's own rights back, as it would behind SET ROLE: it runs within a
/// function of `role` with SECURITY DEFINER, where PostgreSQL refuses to change roles. The settings
/// in force hold for it. Cursors and temporary objects that it left are gone afterwards; what it
/// SET is not: the caller resets that (RESET ALL) before it believes any name.
/// Throws what the server says. The session must be a member of `role`, and `role` may make
/// temporary objects in the database: insufficient_privilege else.
void run_as(Connection& connection, const std::string& doing, const std::string& role,
            const std::string& sql);

}  // namespace antipode::postgres
