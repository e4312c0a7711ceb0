#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/fences.hpp"
#include "failover/lease_file.hpp"

namespace antipode::failover {

/// Closes this site's fences when its lease ends, whatever else is known: antipode-fencer has one,
/// and antipoded, for the time in which that does not run. What it closes it writes down before, so
/// that the fencer lifts it, and nothing else. One thread, but for may_lift(). Errors: as Fences'
/// and the files'.
class LeaseCloser {
  public:
    /// `patience`: with whoever else closes or opens the fences; they are closed behind it all the
    /// same.
    LeaseCloser(const Config& config, const Clock& clock, std::chrono::milliseconds patience);

    /// By the files, now. Throws Error when they cannot be read, unless it is to be closed.
    FencerDuty duty() const;
    /// What is closed here, and was closed by this or by an earlier process.
    std::optional<ClosedFile> closed() const;
    /// It has seen the fences hold a moment ago.
    bool is_closed() const;
    /// Closes them, or looks again whether they hold. False: they need not be closed any more.
    bool close();
    /// Opens `closed`, if it is of the lease's epoch. False: it may not, any more. Throws
    /// Error{Retry} with some parts open when the lease ends meanwhile.
    bool lift(const ClosedFile& closed, std::chrono::milliseconds patience);
    /// What was closed is not its business any more.
    void forget();
    /// Somebody else may have opened it.
    void look_anew() { checked_.reset(); }
    /// Writes down what was closed, where that could not be written yet.
    void settle();

  private:
    bool may_lift(uint64_t epoch) const;
    bool holds_still();
    void announce(const LeaseFile& lease);
    ClosedFile with_open_parts(uint64_t epoch) const;

    const Config& config_;
    const Clock& clock_;
    const std::string boot_;
    const std::chrono::milliseconds patience_;
    Fences fences_;
    std::optional<BootTime> announced_;      ///< the end of a lease
    std::optional<BootTime> checked_;        ///< that the fences hold, since they were closed
    std::optional<ClosedFile> unwritten_{};  ///< what was closed, where no file says so
};

/// "its lease ended 12 s ago"
std::string shown_end(const LeaseFile& lease, const std::string& boot, BootTime now);

}  // namespace antipode::failover
