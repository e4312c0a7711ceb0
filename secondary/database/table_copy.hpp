#pragma once

#include <functional>
#include <optional>
#include <stop_token>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"

namespace antipode::secondary {

/// A table, or a range of it, as it was copied, and what came.
struct CopiedRows {
    CopiedTable copied;
    uint64_t rows = 0;
};

/// Pulls the rows of one table, or of a range of it, from the primary into the open transaction of
/// `session`. `came` hears the size of each piece. nullopt: the primary has no such table (any
/// more). In PostgreSQL's binary format when both servers are of one version and all types allow.
std::optional<CopiedRows> copy_rows(const StoreId& store, ReplicaSession& session,
                                    BulkSource& primary, const TableName& table,
                                    const KeyRange& range, const std::function<void(size_t)>& came,
                                    const std::stop_token& stop);

/// What a header of an answer says. Throws Error{Stop} when it says nothing that can be read;
/// `what` names the request.
std::string header(const BulkSource::Answer& answer, const char* name, const std::string& what);
Lsn lsn_header(const BulkSource::Answer& answer, const char* name, const std::string& what);
[[noreturn]] void malformed_answer(const std::string& what);

}  // namespace antipode::secondary
