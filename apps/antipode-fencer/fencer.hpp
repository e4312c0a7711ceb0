#pragma once

#include <optional>
#include <string>

#include "apps/antipode-fencer/rights_watch.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/fences.hpp"
#include "failover/lease_closer.hpp"
#include "failover/lease_file.hpp"

namespace antipode {

/// Looks at the lease that antipoded has written down, closes the fences shortly before it ends,
/// and opens what it has closed, nothing else, once it holds again. Needs nobody but the kernel's
/// clock and the file for that. One thread.
class Fencer {
  public:
    Fencer(const Config& config, const Clock& clock);

    /// Looks and does what is to be done, once; false: it did not work, and is to be tried again.
    /// Takes as long as closing or opening does. What goes wrong is logged, once, and in said().
    bool step();
    /// Whether the databases could be fenced: step() says it, too. Another thread looks.
    RightsWatch& rights() { return rights_; }
    /// Where it stands, as antipoded shows it.
    const failover::FencerFile& said() const { return said_; }

  private:
    void look();
    void watch();
    void close();
    void lift();
    void forget();
    void say(const std::string& state, const std::string& problem = {});
    void fail(const Error& error);

    const Config& config_;
    const Clock& clock_;
    const std::string boot_;
    const failover::Fences fences_;
    failover::LeaseCloser closer_;
    failover::FencerFile said_;
    std::optional<BootTime> written_;  ///< when said_ was, last
    RightsWatch rights_;
};

/// What the files say, in a line, for people. Changes nothing.
std::string describe_lease(const Config& config, const Clock& clock);

}  // namespace antipode
