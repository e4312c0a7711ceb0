#pragma once

#include <string>

namespace antipode::postgres {

/// Who chooses replica identities of tables that come or lose their key (Config::Database).
enum class Identities { Given, Chosen };

/// The SQL, for a superuser, that makes a database tell of changes of its structure: event triggers
/// that write each DDL statement into the log as a transactional message, in its place between the
/// rows. One transaction; may be run again at any time, and replaces what an earlier version made.
///
/// The messages are believed on the mirrors, so nobody else may write them: the function that does
/// so answers to the event triggers only, and the right to write messages is taken from PUBLIC and
/// given to `role`, the daemon's. It may also read everything: it copies tables and publishes where
/// the sequences stand. The triggers do not fire on a mirror (session_replication_role). With
/// Identities::Given they also give a table without a usable identity one, at once.
std::string ddl_setup_sql(const std::string& role, Identities identities = Identities::Given);

/// Runs it on the database that `url` names, as a superuser. Throws Error{Stop} with the server's
/// words when it refuses.
void run_ddl_setup(const std::string& url, const std::string& role,
                   Identities identities = Identities::Given);

/// Whom a connection string logs in as. Throws Error{Retry} when the server cannot be reached and
/// the string does not name him.
std::string role_of(const std::string& url);

}  // namespace antipode::postgres
