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

/// The server has removed log that the slot needs: it is of no use to anybody.
bool is_slot_lost(const SourceFacts& facts);

/// Why the log that the slot keeps needs an operator; nullopt: it does not.
std::optional<UnmetNeed> slot_problem(const SourceFacts::Slot& slot,
                                      const Config::Database& config);

/// Where the store's `synchronous` and the server's synchronous_standby_names disagree.
std::optional<UnmetNeed> synchronous_problem(const SourceFacts& facts,
                                             const Config::Database& config);

/// Nothing caps what the slot may keep of the primary's disk while a site is away.
std::optional<UnmetNeed> uncapped_slot(const SourceFacts& facts, const Config::Database& config);

/// Capture does without; rows of tables that change their structure then stop the secondaries.
constexpr const char* ddl_not_captured =
    "changes of the structure (DDL) are not captured: there are no event triggers";
constexpr const char* ddl_remedy =
    "antipode database setup --url URL, once, with a superuser's URL of the primary's database";

/// What a mirror has of large objects, where there are some.
inline constexpr const char* large_objects_note =
    "has large objects, of whose changes PostgreSQL's log tells nothing: mirrors bring them with "
    "each check of everything (check_every, antipode database check), without their rights";

/// Of tables whose rows nothing tells apart; empty: there are none. They are replicated, only not
/// as well as others.
std::string keyless_note(const SourceFacts& facts);

/// Throws Error{Stop} that names all of them; returns when there are none.
void refuse_unmet(const std::vector<UnmetNeed>& needs);

struct IdentityChange {
    TableName table;
    std::optional<std::string> index;  ///< nullopt: the whole row
};
/// An identity for each table that has no usable one.
std::vector<IdentityChange> missing_identities(const std::vector<SourceTable>& tables);

}  // namespace antipode::primary
