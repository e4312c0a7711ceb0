#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/synchronized.hpp"
#include "protocol/antipode.pb.h"

/// What all registered secondaries (RegisteredSites) have in common, from their reports, however
/// old those are: a site that is dead holds these points until it is taken out. Pure.
namespace antipode::primary {

/// What the slot of a database need not keep, and who would have kept more of it.
struct Confirmable {
    /// Commits that end here or below are safe on every registered site that counts; without any,
    /// what this site's own stream holds.
    Lsn lsn;
    std::vector<std::string> let_go;
};
/// `stored`: what this site's own stream holds; nullopt: not looked at, so that only a site can say
/// that anything is safe, and all count. Sites that have not reached `not_below` do not count: the
/// log would grow past its cap. It is no help while the own stream has not reached it.
Confirmable confirmable(const std::vector<v1::SiteReport>& reports, const StoreId& store,
                        std::optional<Lsn> stored, Lsn not_below = {});

/// What a site says of a store; the origin when it says nothing: it has nothing of it.
Lsn safe_lsn(const v1::SiteReport& report, const StoreId& store);

/// The sites whose needs a slot has passed because of its cap, until they have all that it passed.
/// Any thread.
class LetGo {
  public:
    void note(const StoreId& store, const std::vector<std::string>& let_go, Lsn confirmed,
              const std::vector<v1::SiteReport>& reports);
    std::set<std::string> of(const StoreId& store) const;

  private:
    Synchronized<std::map<StoreId, std::set<std::string>>> sites_;
};

/// Every lane of every registered site has applied everything up to here; without any, `head`.
Position applied_everywhere(const std::vector<v1::SiteReport>& reports, const Position& head);

/// The oldest recovery point of all registered sites; nullopt when one is unknown or there are
/// none.
std::optional<TimePoint> recovery_point_everywhere(const std::vector<v1::SiteReport>& reports);

}  // namespace antipode::primary
