#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/config.hpp"
#include "base/seams/database.hpp"

/// `antipode database setup`: what a superuser does once on each site, so that the daemon need not
/// be one.
namespace antipode::cli {

struct DatabaseSetupOptions {
    std::optional<std::string> store;  ///< needed when there are several
    std::optional<std::string> url;    ///< a superuser's; default: the store's own
    bool dry_run = false;              ///< print the SQL, connect only to learn the daemon's role
    std::optional<std::string> role;   ///< "primary" or "secondary"; default: as the epoch says
    std::vector<std::string> owners;   ///< on a secondary: postgres::ReplicaSetup
};

/// The store of that name, or the only one. Throws CommandError.
const Config::Database& find_database(const Config& config, const std::optional<std::string>& name,
                                      const std::string& command);

/// Who asks: "alice on sydney1".
std::string operator_name();

/// Of "schema.table". Throws CommandError with `example` as the next step.
TableName table_of(const std::string& text, const std::string& example);

/// `antipode database new-slot`: on the primary, when its replication slot is gone: forgets it, so
/// that capture makes another one. Throws CommandError when nothing is wrong with the slot, or this
/// site is not the primary.
ExitCode make_new_slot(const Config& config, const OpenBucket& open, const Output& output,
                       const std::optional<std::string>& store);

/// On a primary: event triggers, and what the daemon reads; on a secondary: what it writes.
ExitCode setup_database(const Config& config, const OpenBucket& open, const Output& output,
                        const DatabaseSetupOptions& options);

}  // namespace antipode::cli
