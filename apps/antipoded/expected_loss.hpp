#pragma once

#include <mutex>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipoded/background.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "failover/loss.hpp"

namespace antipode {

class SecondaryHalf;

/// What a secondary lacks if nothing more comes from `primary`, the one of `epoch`: by what its
/// stream holds and what is applied. Throws Error{Retry} when its nats-server does not answer.
failover::LossReport find_expected_loss(const Config& config, const SecondaryHalf& half,
                                        uint64_t epoch, const std::string& primary,
                                        const Clock& clock);

/// Its members "known_lost", "losses" (the first of them), "not_applied_yet", "unknown_since_us"
/// and "unknown_seconds".
nlohmann::json summary_of(const failover::LossReport& report);

/// The same for whoever asks while nothing is promoted. The stream behind what is applied may be
/// long, so it is read in a thread of its own, by one at a time. Any thread; the destructor waits
/// for the thread.
class ExpectedLoss {
  public:
    /// Of `half`, which outlives it.
    ExpectedLoss(const Config& config, const SecondaryHalf& half, uint64_t epoch,
                 std::string primary, const Clock& clock);

    /// "antipode.expected-loss/1", a few seconds old at most. nullopt: it takes longer than a
    /// second; ask again. Throws Error{Retry}, as above.
    std::optional<std::string> answer();

  private:
    std::string look() const;

    const Config& config_;
    const SecondaryHalf& half_;
    const uint64_t epoch_;
    const std::string primary_;
    const Clock& clock_;
    std::mutex mutex_;
    Background<std::string> looking_;
};

}  // namespace antipode
