#pragma once

#include <memory>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipoded/half.hpp"
#include "apps/antipoded/lease_guard.hpp"
#include "base/config.hpp"
#include "failover/conductor.hpp"
#include "failover/lease.hpp"

namespace antipode {

/// Renews this site's lease, or watches the primary's, in a thread for each place that carries it:
/// a server that hangs holds up no other, and no step of the conductor holds up any. When this
/// process ends the lease runs out by itself. When it runs out, and no fencer runs, another thread
/// closes the fences.
class LeaseKeeper {
  public:
    /// nullptr: the configuration names no witness.
    static std::unique_ptr<LeaseKeeper> make(const Config& config, const Clock& clock);
    LeaseKeeper(const Config& config, const Clock& clock);

    failover::Lease& lease() { return lease_; }
    void start();
    /// Conductor's thread, whenever it has looked or acted. A primary whose own server has not
    /// answered since this process began is as it was left: `last` is its journal's.
    void follow(const failover::Conductor& conductor, const std::optional<failover::Epoch>& record,
                const std::optional<failover::JournalEntry>& last);
    /// "lease" of /v1/status.
    nlohmann::json show() const;
    std::vector<WorkerState> workers() const { return workers_.states(); }

  private:
    const std::string site_;
    const std::filesystem::path state_dir_;
    failover::Lease lease_;
    LeaseGuard guard_;
    Workers workers_;  // last: ends before what it uses
};

}  // namespace antipode
