#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"
#include "failover/machine.hpp"

namespace antipode::cli {

/// Where a site stands in a change of the primary, as its daemon says.
struct Standing {
    std::optional<failover::State> state;  ///< nullopt: it does not know yet
    uint64_t epoch = 0;
    std::string operation;
    std::string problem;
    std::string next_step;
    std::string unreadable;  ///< a name for what it cannot read and waits for; empty: nothing
};
/// Throws CommandError{Unreachable}.
Standing standing_of(const Config& config, const Fetch& fetch, const Config::Site& site);

/// It is an old primary that has come back, and does not follow the new one yet.
bool comes_back(failover::State state);

/// Prints where sites stand, each change once; under json nothing.
class ProgressWatch {
  public:
    ProgressWatch(const Config& config, const Fetch& fetch, const Output& output)
        : config_(config), fetch_(fetch), output_(output) {}
    void look(const std::vector<std::string>& sites);
    /// What the last look has seen; nullptr: the site's daemon did not answer.
    const Standing* at(const std::string& site) const;

  private:
    const Config& config_;
    const Fetch& fetch_;
    const Output& output_;
    std::map<std::string, Standing> seen_;
    std::map<std::string, std::string> said_;
};

}  // namespace antipode::cli
