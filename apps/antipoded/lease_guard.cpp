#include "apps/antipoded/lease_guard.hpp"

#include "base/error.hpp"
#include "failover/lease_file.hpp"

namespace antipode {
namespace {

/// A fencer says once a second that it runs, and at once when it begins to close; then it is silent
/// until that is done, and holds the fences' lock.
constexpr std::chrono::seconds silence(3);
constexpr std::chrono::seconds silence_at_work(10);
/// One that was stopped at work may hold it for ever.
constexpr std::chrono::seconds patience(10);

}  // namespace

LeaseGuard::LeaseGuard(const Config& config, const Clock& clock)
    : config_(config),
      clock_(clock),
      boot_(failover::boot_id()),
      closer_(config, clock, patience) {}

bool LeaseGuard::is_alone() const {
    const auto fencer = failover::read_fencer_file(config_.state_dir);
    if (!fencer || fencer->boot != boot_) {
        return true;
    }
    const bool at_work = fencer->state != "watching" && fencer->state != "idle";
    return clock_.boot_now() - fencer->at > (at_work ? silence_at_work : silence);
}

/// To the fencer, which needs to know what was closed here.
void LeaseGuard::leave() {
    has_closed_ = false;
    closer_.look_anew();
    closer_.settle();
}

void LeaseGuard::step() {
    if (closer_.duty() != failover::FencerDuty::Close) {
        return leave();
    }
    if (closer_.is_closed()) {
        return;
    }
    if (!is_alone()) {
        return leave();
    }
    try {
        has_closed_ = closer_.close();
    } catch (...) {
        has_closed_ = false;
        throw;
    }
}

}  // namespace antipode
