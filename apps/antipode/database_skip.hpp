#pragma once

#include <optional>
#include <string>

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

/// `antipode database skip` and `skipped`: the operator's decision about a transaction that cannot
/// be applied. Both go to the secondary's database itself: decision and record stay with the data.
namespace antipode::cli {

struct SkipOptions {
    std::optional<std::string> store;  ///< needed when there are several
    std::string lsn;
    std::optional<std::string> table;  ///< schema.table: only its changes
    bool repair = true;
    bool yes = false;
};

/// Asks the daemon to leave out the transaction at which it stands stopped, and no other one.
ExitCode skip_transaction(const Config& config, const Output& output, const SkipOptions& options);
/// What was skipped, by whom and why, with the changes' keys.
ExitCode list_skipped(const Config& config, const Output& output,
                      const std::optional<std::string>& store);

}  // namespace antipode::cli
