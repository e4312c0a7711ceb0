#pragma once

#include <functional>
#include <memory>

#include "apps/antipoded/background.hpp"
#include "apps/antipoded/last_intake.hpp"
#include "apps/antipoded/old_streams.hpp"
#include "apps/antipoded/primary_half.hpp"
#include "apps/antipoded/quiet.hpp"
#include "apps/antipoded/rejoin.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "base/config.hpp"
#include "failover/conductor.hpp"
#include "failover/fences.hpp"
#include "failover/lease.hpp"

namespace antipode {

/// What this site does when the primary changes: with its halves, its fences, its databases and the
/// commands of its configuration. Conductor's thread.
class SiteHands final : public failover::Hands {
  public:
    /// `half`: the one that runs now; nullptr: none does. `lease`: nullptr without a witness.
    SiteHands(const Config& config, std::function<std::shared_ptr<Half>()> half,
              failover::Lease* lease, const Clock& clock);

    void fence(const std::string& new_primary) override;
    void unfence() override;
    failover::Cuts capture() override;
    bool is_unchanged(const failover::Cuts& cuts) override;
    void follow(const v1::EpochRecord& record) override;
    bool has_reached(const failover::Cuts& cuts) override;
    std::vector<std::string> differences(const failover::Cuts& cuts) override;
    Passage take_lease(const v1::EpochRecord& record) override;
    std::optional<failover::Cuts> cut(const v1::EpochRecord& record, uint64_t epoch) override;
    std::optional<failover::Cuts> end(const v1::EpochRecord& record, const Stand& stand) override;
    void stand(const v1::EpochRecord& record, failover::Form form) override;
    failover::Cuts prepare(const v1::EpochRecord& record) override;
    std::string open(const v1::EpochRecord& record) override;
    void shut(const v1::EpochRecord& record) override;
    std::optional<std::string> quarantine(const v1::EpochRecord& record, failover::Form form,
                                          const std::string& without) override;
    std::string unreadable() override;
    std::optional<bool> is_kept(const v1::EpochRecord& record, failover::Form form) override;
    void rewind(const v1::EpochRecord& record) override;
    std::optional<Finished> finish(const v1::EpochRecord& record,
                                   const v1::EpochStart& ended) override;
    void cross(const v1::EpochRecord& record, const v1::EpochStart& ended,
               const std::string& detail) override;

    /// While the site is being promoted: whose stream has more than this one's. Empty: nobody's.
    std::string elsewhere(uint64_t epoch) const {
        return elsewhere_.newest.epoch == epoch ? elsewhere_.site : std::string();
    }

  private:
    // Kept by the caller only while it is used: the half ends with its last owner.
    std::shared_ptr<PrimaryHalf> primary() const;
    std::shared_ptr<SecondaryHalf> secondary() const;
    void write_loss_report(const v1::EpochRecord& record, uint64_t epoch,
                           const SecondaryHalf& half);
    Lsn prepare_database(const Config::Database& store);
    void install_hooks();
    bool takes_in_more(const v1::EpochRecord& record, uint64_t epoch, SecondaryHalf& half);
    void look_elsewhere(const v1::EpochRecord& record, uint64_t epoch);
    void close_fences(const std::function<void()>& close);
    void open_fences(bool command);
    failover::MayOpen may_open() const;

    const Config& config_;
    std::function<std::shared_ptr<Half>()> half_;
    failover::Lease* const lease_;
    const Clock& clock_;
    failover::Fences fences_;
    bool is_shut_ = false;    ///< by shut(), since this process began
    LastIntake last_intake_;  ///< of cut()
    Quiet finishing_;         ///< of finish()
    QuarantineProgress progress_;
    Background<std::string> quarantining_;
    Background<bool> looking_;
    FurtherStream elsewhere_;  ///< of cut()
    uint64_t not_beyond_ = 0;  ///< of finish(): the epoch of which that is known
};

}  // namespace antipode
