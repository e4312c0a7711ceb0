#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

/// `antipode database check`: has the daemon of this secondary compare its database with the
/// primary's. The request goes into the secondary's database, and so does the result: it is not
/// lost when the daemon is down, or is killed in the middle.
namespace antipode::cli {

struct CompareOptions {
    std::optional<std::string> store;  ///< needed when there are several
    std::vector<std::string> tables;   ///< schema.table; none: everything
    bool mend = false;
    bool drop_extra = false;  ///< with it: what holds data here and is not on the primary
    std::string confirmed;    ///< the site's name, for drop_extra
    std::function<std::string()> read_line;
    bool wait = true;
    bool take_back = false;                 ///< instead: what was asked for and is not done
    std::optional<double> timeout_seconds;  ///< of waiting; none: as long as it takes
    std::function<void()> pause;            ///< between looks
};

/// Ok: equal; Findings: something differs; Unknown: something could not be decided; Unreachable:
/// the daemon is down, and compares when it runs again; TimedOut: it goes on unwatched.
ExitCode compare_database(const Config& config, const Fetch& fetch, const Output& output,
                          const CompareOptions& options);

}  // namespace antipode::cli
