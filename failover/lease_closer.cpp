#include "failover/lease_closer.hpp"

#include <algorithm>
#include <memory>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::failover {
namespace {

/// Closed fences are looked at again after so long.
constexpr std::chrono::seconds check_interval(5);

std::string seconds_of(BootClock::duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

void add(FenceParts& parts, const FenceParts& more) {
    parts.command = parts.command || more.command;
    parts.databases.insert(more.databases.begin(), more.databases.end());
    parts.repositories.insert(more.repositories.begin(), more.repositories.end());
}

}  // namespace

std::string shown_end(const LeaseFile& lease, const std::string& boot, BootTime now) {
    if (lease.boot != boot) {
        return "its lease is of an earlier boot";
    }
    if (lease.until == BootTime{}) {
        return "it holds no lease";
    }
    return now < lease.until ? "its lease ends in " + seconds_of(lease.until - now)
                             : "its lease ended " + seconds_of(now - lease.until) + " ago";
}

LeaseCloser::LeaseCloser(const Config& config, const Clock& clock,
                         std::chrono::milliseconds patience)
    : config_(config),
      clock_(clock),
      boot_(boot_id()),
      patience_(patience),
      fences_(config, patience_without_lease) {}

FencerDuty LeaseCloser::duty() const {
    const auto lease = read_lease_file(config_.state_dir);
    const BootTime now = clock_.boot_now();
    // Whether something was closed makes no difference to whether it is to be.
    const FencerDuty duty = duty_of(lease, true, boot_, now);
    const bool has_closed = duty == FencerDuty::Close || closed();
    return duty_of(lease, has_closed, boot_, now);
}

std::optional<ClosedFile> LeaseCloser::closed() const {
    return unwritten_ ? unwritten_ : read_closed_file(config_.state_dir);
}

bool LeaseCloser::is_closed() const {
    return checked_ && clock_.boot_now() - *checked_ < check_interval;
}

bool LeaseCloser::holds_still() {
    if (!checked_) {
        return false;
    }
    try {
        fences_.check();
        checked_ = clock_.boot_now();
        return true;
    } catch (const Error& error) {
        spdlog::warn("{}; it is closed again", error.what());
        checked_.reset();
        return false;
    }
}

void LeaseCloser::announce(const LeaseFile& lease) {
    if (announced_ != lease.until) {
        spdlog::warn("{} takes no more writes: {}", config_.site,
                     shown_end(lease, boot_, clock_.boot_now()));
        announced_ = lease.until;
    }
}

/// All that is open, and what the file of an earlier attempt names: of this epoch, or written, or
/// read now, with a lease that could not be read.
ClosedFile LeaseCloser::with_open_parts(uint64_t epoch) const {
    ClosedFile all{epoch, {}};
    try {
        const auto before = closed();
        if (before && (before->epoch == epoch || before->epoch == 0 || epoch == 0)) {
            all = {std::max(before->epoch, epoch), before->parts};
        }
    } catch (const Error& error) {  // a damaged file keeps nobody out
        spdlog::error("{}", error.describe());
    }
    add(all.parts, fences_.open_parts());
    return all;
}

bool LeaseCloser::close() {
    const BootTime begun = clock_.boot_now();
    std::unique_ptr<FenceLock> lock;
    try {
        lock = std::make_unique<FenceLock>(config_.state_dir, patience_);
    } catch (const Error& error) {
        spdlog::warn("{}: the fences are closed all the same", error.what());
    }
    const auto lease = read_lease_file(config_.state_dir);
    if (!lease || duty() != FencerDuty::Close) {
        return false;
    }
    if (holds_still()) {
        return true;
    }
    announce(*lease);
    // Before it is closed: what was closed and is not written down would never be lifted.
    unwritten_ = with_open_parts(lease->epoch);
    std::optional<Error> unwritten;
    try {
        settle();
    } catch (const Error& error) {
        unwritten = error;  // a full disk keeps nobody out
    }
    fences_.shut_without_lease();
    if (unwritten) {
        throw Error(*unwritten);
    }
    checked_ = clock_.boot_now();
    spdlog::warn("the fences are closed; that took {} ms",
                 std::chrono::duration_cast<std::chrono::milliseconds>(*checked_ - begun).count());
    return true;
}

void LeaseCloser::settle() {
    if (!unwritten_) {
        return;
    }
    try {
        const auto others = read_closed_file(config_.state_dir);
        if (others && others->epoch == unwritten_->epoch) {
            add(unwritten_->parts, others->parts);
        }
    } catch (const Error& error) {
        spdlog::error("{}", error.describe());
    }
    write_closed_file(config_.state_dir, *unwritten_);
    unwritten_.reset();
}

bool LeaseCloser::may_lift(uint64_t epoch) const {
    const auto lease = read_lease_file(config_.state_dir);
    return lease && lease->epoch == epoch &&
           duty_of(lease, true, boot_, clock_.boot_now()) == FencerDuty::Lift;
}

bool LeaseCloser::lift(const ClosedFile& closed, std::chrono::milliseconds patience) {
    const FenceLock lock(config_.state_dir, patience);
    const auto lease = read_lease_file(config_.state_dir);
    if (!lease || duty() != FencerDuty::Lift) {
        return false;
    }
    checked_.reset();  // from now on a part may be open
    if (lease->epoch == closed.epoch || closed.epoch == 0) {
        fences_.lift(closed.parts, [&] { return may_lift(lease->epoch); });
    }  // else antipoded has opened everything since, for that epoch
    forget();
    return true;
}

void LeaseCloser::forget() {
    remove_closed_file(config_.state_dir);
    unwritten_.reset();
    checked_.reset();
}

}  // namespace antipode::failover
