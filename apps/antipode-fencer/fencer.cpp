#include "apps/antipode-fencer/fencer.hpp"

#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

using failover::ClosedFile;
using failover::FenceLock;
using failover::FencerDuty;
using failover::LeaseFile;

/// The lease does not wait for a daemon that was stopped while it held the lock: closing twice
/// harms nobody.
constexpr std::chrono::milliseconds patience_to_close(1000);
constexpr std::chrono::milliseconds patience_to_lift(10'000);
/// Closed fences are looked at again after so long.
constexpr std::chrono::seconds check_interval(5);
constexpr std::chrono::seconds say_interval(1);

std::string seconds_of(BootClock::duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

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

}  // namespace

FencerLock::FencerLock(const std::filesystem::path& state_dir) {
    std::error_code failure;
    std::filesystem::create_directories(state_dir, failure);
    fd_ = open((state_dir / "fencer.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) {
        throw Error(Reaction::Stop,
                    "state_dir " + printable(state_dir.native()) +
                        " cannot be written: " + std::strerror(errno),
                    "run antipode-fencer as antipoded's user");
    }
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        ::close(fd_);
        throw Error(Reaction::Stop,
                    "another antipode-fencer works in " + printable(state_dir.native()),
                    "antipode-fencer --status");
    }
}

FencerLock::~FencerLock() {
    ::close(fd_);
}

Fencer::Fencer(const Config& config, const Clock& clock)
    : config_(config), clock_(clock), boot_(failover::boot_id()), fences_(config) {}

bool Fencer::step() {
    try {
        look();
    } catch (const Error& error) {
        fail(error);
    } catch (const std::exception& error) {
        fail(Error(Reaction::Retry, error.what()));
    }
    return said_.problem.empty();
}

void Fencer::look() {
    const auto lease = failover::read_lease_file(config_.state_dir);
    std::optional<ClosedFile> closed = unwritten_;
    std::optional<Error> unreadable;
    try {
        closed = closed ? closed : failover::read_closed_file(config_.state_dir);
    } catch (const Error& error) {
        unreadable = error;
    }
    const FencerDuty duty = failover::duty_of(lease, closed.has_value(), boot_, clock_.boot_now());
    if (unreadable && duty != FencerDuty::Close) {
        throw Error(*unreadable);
    }
    switch (duty) {
        case FencerDuty::Nothing:
            return say("idle");
        case FencerDuty::Watch:
            fences_.must_be_possible();
            return say("watching");
        case FencerDuty::Close:
            return close(*lease, closed);
        case FencerDuty::Lift:
            return lift(*closed);
        case FencerDuty::Forget: {
            const FenceLock lock(config_.state_dir, patience_to_lift);
            if (duty_now() == FencerDuty::Forget) {
                spdlog::info("antipoded has taken over what was closed here");
                forget_closed();
            }
            checked_.reset();
            return say("idle");
        }
    }
}

FencerDuty Fencer::duty_now() const {
    const auto lease = failover::read_lease_file(config_.state_dir);
    const BootTime now = clock_.boot_now();
    // Whether something was closed makes no difference to whether it is to be.
    const FencerDuty duty = failover::duty_of(lease, true, boot_, now);
    const bool has_closed =
        duty == FencerDuty::Close || unwritten_ || failover::read_closed_file(config_.state_dir);
    return failover::duty_of(lease, has_closed, boot_, now);
}

void Fencer::close(const LeaseFile& lease, std::optional<ClosedFile> closed) {
    const BootTime begun = clock_.boot_now();
    const bool again = closed && checked_;
    if (again && begun - *checked_ < check_interval) {
        return say("closed");
    }
    if (!again) {
        say("closing", said_.problem);
    }
    std::unique_ptr<FenceLock> lock;
    try {
        lock = std::make_unique<FenceLock>(config_.state_dir, patience_to_close);
    } catch (const Error& error) {
        spdlog::warn("{}: the fences are closed all the same", error.what());
    }
    if (duty_now() != FencerDuty::Close) {
        return;
    }
    if (again) {
        try {
            fences_.check();
            checked_ = clock_.boot_now();
            return say("closed");
        } catch (const Error& error) {
            spdlog::warn("{}; it is closed again", error.what());
        }
    } else if (said_.problem.empty()) {
        spdlog::warn("{} takes no more writes: {}", config_.site,
                     shown_end(lease, boot_, clock_.boot_now()));
    }
    checked_.reset();
    // Before it is closed: what was closed and is not written down would never be lifted.
    ClosedFile all = unwritten_.value_or(closed.value_or(ClosedFile{lease.epoch, {}}));
    const failover::FenceParts open = fences_.open_parts();
    all.parts.command = all.parts.command || open.command;
    all.parts.databases.insert(open.databases.begin(), open.databases.end());
    all.parts.repositories.insert(open.repositories.begin(), open.repositories.end());
    std::optional<Error> unwritten;
    try {
        failover::write_closed_file(config_.state_dir, all);
        unwritten_.reset();
    } catch (const Error& error) {
        unwritten = error;  // a full disk keeps nobody out
        unwritten_ = all;
    }
    fences_.shut_without_lease();
    if (unwritten) {
        throw Error(*unwritten);
    }
    checked_ = clock_.boot_now();
    spdlog::warn("the fences are closed; that took {} ms",
                 std::chrono::duration_cast<std::chrono::milliseconds>(*checked_ - begun).count());
    say("closed");
}

void Fencer::forget_closed() {
    failover::remove_closed_file(config_.state_dir);
    unwritten_.reset();
}

void Fencer::lift(const ClosedFile& closed) {
    say("lifting", said_.problem);
    const FenceLock lock(config_.state_dir, patience_to_lift);
    const auto lease = failover::read_lease_file(config_.state_dir);
    if (duty_now() != FencerDuty::Lift || !lease) {
        return;
    }
    if (lease->epoch == closed.epoch) {
        fences_.lift(closed.parts);
    }  // else antipoded has opened everything since, for that epoch
    forget_closed();
    checked_.reset();
    spdlog::info("{} holds the lease again: the fences that were closed here are open",
                 config_.site);
    say("watching");
}

/// At least once a second, so that antipoded knows that this runs.
void Fencer::say(const std::string& state, const std::string& problem) {
    const BootTime now = clock_.boot_now();
    const bool news = state != said_.state || problem != said_.problem;
    if (!problem.empty() && problem != said_.problem) {
        spdlog::error("{}: {}", state, problem);
    }
    if (!news && written_ && now - *written_ < say_interval) {
        return;
    }
    said_ = {boot_, now, state, problem};
    try {
        failover::write_fencer_file(config_.state_dir, said_);
        written_ = now;
    } catch (const Error& error) {
        if (news) {
            spdlog::error("{}: {}", state, error.describe());
        }
    }
}

void Fencer::fail(const Error& error) {
    say(said_.state.empty() ? "watching" : said_.state, error.describe());
}

std::string describe_lease(const Config& config, const Clock& clock) {
    const auto lease = failover::read_lease_file(config.state_dir);
    if (!lease) {
        return "this site has held no lease yet: nothing is enforced";
    }
    const std::string boot = failover::boot_id();
    const bool closed = failover::read_closed_file(config.state_dir).has_value();
    const std::string end = shown_end(*lease, boot, clock.boot_now());
    if (!lease->meant_open) {
        return "writes are not meant to be open on " + config.site + ": nothing is enforced";
    }
    const bool holds = failover::duty_of(lease, false, boot, clock.boot_now()) == FencerDuty::Watch;
    return config.site + ", primary of epoch " + std::to_string(lease->epoch) + ": " + end +
           (holds ? "; writes are let in" : "; writes are refused") +
           (closed ? "; fences were closed here" : "");
}

}  // namespace antipode
