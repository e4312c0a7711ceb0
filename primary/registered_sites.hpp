#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "primary/inventory.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::primary {

/// The secondaries that count: a site is registered from its first report on, until it is taken out
/// of the configuration. Reports live in the broker, which may lose them; what a site said last is
/// remembered in the primary's own state, so that a lost broker does not set free what an absent
/// site still needs. One thread.
class RegisteredSites {
  public:
    /// `configured`: names of the cluster's sites. Reports of another epoch than `epoch` speak of
    /// another primary's log: they do not count. Reads what is remembered.
    RegisteredSites(std::set<std::string> configured, uint64_t epoch, Inventory& inventory,
                    const Clock& clock);

    /// The newest report of every registered site, given those that the broker has now. Throws
    /// Error{Retry} when a new site cannot be remembered.
    std::vector<v1::SiteReport> merge(const std::vector<v1::SiteReport>& reports);

    /// What a site told between two reports: more is safe there. Empty when the site is not
    /// registered; else as merge().
    std::vector<v1::SiteReport> advance(const v1::SiteReport& told);

  private:
    std::vector<v1::SiteReport> all() const;
    void remember();
    /// An older version does not say of which epoch its report is.
    bool is_of_epoch(const v1::SiteReport& report) const {
        return report.epoch() == 0 || report.epoch() == epoch_;
    }

    const std::set<std::string> configured_;
    const uint64_t epoch_;
    Inventory& inventory_;
    const Clock& clock_;
    std::map<std::string, v1::SiteReport> sites_;
    SteadyTime remember_at_{};
};

}  // namespace antipode::primary
