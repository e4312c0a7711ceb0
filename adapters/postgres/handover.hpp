#pragma once

#include <string>

#include "base/ids.hpp"
#include "base/seams/database.hpp"

/// What changes in a database when its site's role changes.
namespace antipode::postgres {

/// Drops slot and publication, as far as they are there: whoever uses the slot is ended. Without
/// this the slot of a former primary would keep its log for ever. Throws Error: Retry, Stop.
void drop_capture(const std::string& url, const std::string& application_name,
                  const std::string& slot, const std::string& publication);

/// What takes time when a database becomes a primary's: makes a logical slot, which waits for the
/// transactions that run, and drops it. Nothing stays. Throws Error: Retry, Stop.
void rehearse_capture(const std::string& url, const std::string& application_name,
                      const std::string& slot);

/// Makes a database that is equal to the primary's a replica that stands at `position` and `lsn`
/// of the primary's log: what it remembers of an earlier time as a replica is replaced.
void stand_at(const std::string& url, const std::string& application_name, const StoreId& store,
              const Position& position, Lsn lsn);

/// Makes a database that differs from the primary's in rows that nobody names a replica which
/// compares all of them before it goes on. It stands at `position`, before the primary's stream.
void compare_from(const std::string& url, const std::string& application_name, const StoreId& store,
                  const Position& position);

/// Where a replica stands, as it reads itself: leaves the session alone that applies. The beginning
/// when it is none.
Position replica_position(const std::string& url, const std::string& application_name,
                          const StoreId& store);

/// What a database remembers of itself as a replica, with what still waits for a copy of its own.
/// Ends the session that applies.
ReplicaState replica_state(const std::string& url, const std::string& application_name,
                           const StoreId& store);

/// The commit of the primary's log up to which a replica is applied.
Lsn applied_through(const std::string& url, const std::string& application_name,
                    const StoreId& store);

}  // namespace antipode::postgres
