#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "base/seams/database.hpp"

/// What replication needs of a primary's PostgreSQL: decisions on facts, without I/O.
namespace antipode::primary {

/// A need that is not met, and what the operator does about it.
struct UnmetNeed {
    std::string what;
    std::string remedy;
};

/// What this side cannot, or must not, mend by itself.
std::vector<UnmetNeed> unmet_needs(const SourceFacts& facts, const Config::Database& config);

/// What capture does without, but not well: warnings.
std::vector<UnmetNeed> lesser_needs(const SourceFacts& facts);

/// Capture does without; rows of tables that change their structure then stop the secondaries.
constexpr const char* ddl_not_captured =
    "changes of the structure (DDL) are not captured: there are no event triggers";
constexpr const char* ddl_remedy =
    "antipode database setup --url URL, once, with a superuser's URL of the primary's database";

/// Throws Error{Stop} that names all of them; returns when there are none.
void refuse_unmet(const std::vector<UnmetNeed>& needs);

struct IdentityChange {
    TableName table;
    std::optional<std::string> index;  ///< nullopt: the whole row
};
/// An identity for each table that has no usable one.
std::vector<IdentityChange> missing_identities(const std::vector<SourceTable>& tables);

/// What the operator does when the slot cannot be had any more.
std::string lost_slot_remedy(const Config::Database& config);

}  // namespace antipode::primary
