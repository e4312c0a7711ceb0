#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/fences.hpp"
#include "failover/lease_file.hpp"

namespace antipode {

/// Of two fencers with one state directory the second refuses to start. Throws Error{Stop}.
class FencerLock {
  public:
    explicit FencerLock(const std::filesystem::path& state_dir);
    ~FencerLock();
    FencerLock(const FencerLock&) = delete;
    FencerLock& operator=(const FencerLock&) = delete;

  private:
    int fd_;
};

/// Looks at the lease that antipoded has written down, closes the fences shortly before it ends,
/// and opens what it has closed, nothing else, once it holds again. Needs nobody but the kernel's
/// clock and the file for that. One thread.
class Fencer {
  public:
    Fencer(const Config& config, const Clock& clock);

    /// Looks and does what is to be done, once; false: it did not work, and is to be tried again.
    /// Takes as long as closing or opening does. What goes wrong is logged, once, and in said().
    bool step();
    /// Where it stands, as antipoded shows it.
    const failover::FencerFile& said() const { return said_; }

  private:
    void look();
    void close(const failover::LeaseFile& lease, std::optional<failover::ClosedFile> closed);
    void lift(const failover::ClosedFile& closed);
    void forget_closed();
    failover::FencerDuty duty_now() const;
    void say(const std::string& state, const std::string& problem = {});
    void fail(const Error& error);

    const Config& config_;
    const Clock& clock_;
    const std::string boot_;
    failover::Fences fences_;
    failover::FencerFile said_;
    std::optional<BootTime> written_;  ///< when said_ was, last
    std::optional<BootTime> checked_;  ///< that the fences hold, since they were closed
    std::optional<failover::ClosedFile> unwritten_;  ///< what was closed, where no file says so
};

/// What the files say, in a line, for people. Changes nothing.
std::string describe_lease(const Config& config, const Clock& clock);

}  // namespace antipode
