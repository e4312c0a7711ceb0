#include "apps/antipode-fencer/fencer.hpp"

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode {
namespace {

using failover::FenceLock;
using failover::FencerDuty;

/// The lease does not wait for a daemon that was stopped while it held the lock: closing twice
/// harms nobody.
constexpr std::chrono::milliseconds patience_to_close(1000);
/// Nor must it end while something else is waited for.
constexpr std::chrono::milliseconds patience_to_lift(1000);
constexpr std::chrono::seconds say_interval(1);

}  // namespace

Fencer::Fencer(const Config& config, const Clock& clock)
    : config_(config),
      clock_(clock),
      boot_(failover::boot_id()),
      fences_(config),
      closer_(config, clock, patience_to_close),
      rights_(config, clock) {}

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
    const FencerDuty duty = closer_.duty();
    rights_.want(duty == FencerDuty::Watch);
    switch (duty) {
        case FencerDuty::Nothing:
            return say("idle");
        case FencerDuty::Watch:
            return watch();
        case FencerDuty::Close:
            return close();
        case FencerDuty::Lift:
            return lift();
        case FencerDuty::Forget:
            return forget();
    }
}

void Fencer::watch() {
    fences_.must_be_possible();
    say("watching", rights_.problem());
}

void Fencer::close() {
    if (closer_.is_closed()) {
        return say("closed");
    }
    if (said_.state != "closed") {
        say("closing", said_.problem);
    }
    if (closer_.close()) {
        say("closed");
    }
}

void Fencer::lift() {
    const auto closed = closer_.closed();
    say("lifting", said_.problem);
    try {
        if (!closed || !closer_.lift(*closed, patience_to_lift)) {
            return;
        }
    } catch (const Error& error) {
        if (closer_.duty() != FencerDuty::Close) {
            throw;
        }
        spdlog::warn("{}", error.what());
        return close();
    }
    spdlog::info("{} holds the lease again: the fences that were closed here are open",
                 config_.site);
    say("watching");
}

void Fencer::forget() {
    const FenceLock lock(config_.state_dir, patience_to_lift);
    if (closer_.duty() == FencerDuty::Forget) {
        spdlog::info("antipoded has taken over what was closed here");
        closer_.forget();
    }
    say("idle");
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
    const std::string end = failover::shown_end(*lease, boot, clock.boot_now());
    if (!lease->meant_open) {
        return "writes are not meant to be open on " + config.site + ": nothing is enforced";
    }
    const bool holds = failover::duty_of(lease, false, boot, clock.boot_now()) == FencerDuty::Watch;
    return config.site + ", primary of epoch " + std::to_string(lease->epoch) + ": " + end +
           (holds ? "; writes are let in" : "; writes are refused") +
           (closed ? "; fences were closed here" : "");
}

}  // namespace antipode
