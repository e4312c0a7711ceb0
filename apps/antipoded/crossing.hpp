#pragma once

#include <set>
#include <string>
#include <vector>

#include "apps/antipoded/secondary_half.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// A secondary that was no part of a change of the primary takes up the new epoch, without a new
/// copy: exactly where the old one ended, or, in stores of which it lacks something that cannot be
/// had any more, by comparing. `record` is the new primary's own; `ended` says where the epoch that
/// this site knows has ended. One thread.
class Crossing {
  public:
    Crossing(const Config& config, const v1::EpochRecord& record, const v1::EpochStart& ended,
             const Clock& clock)
        : config_(config), record_(record), ended_(ended), clock_(clock) {}

    /// What this site has and the new primary never got, for people; empty: nothing.
    std::string beyond(const secondary::Registry& registry, const std::stop_token& stop) const;
    /// Of that, the rows: cheap to look for again.
    std::string rows_beyond() const;
    /// Stores that have not everything from before the end.
    std::set<StoreId> incomplete(const SecondaryHalf& half) const;
    /// The same of a site that did not see how the epoch has ended: all.
    std::set<StoreId> all() const;

    /// For the journal, and for people; of this end alone.
    std::string to_text(const std::set<StoreId>& to_compare) const;
    /// Every store stands where the new epoch begins; `text`: which of them are to be compared. No
    /// half runs. May run again. Throws Error: Retry; Stop (an operator is needed).
    void cross(const std::string& text) const;

  private:
    std::string name_of_end() const;
    bool handed_over() const { return ended_.fenced_by().empty(); }
    std::string items_beyond(const secondary::Registry& registry, const StoreId& store,
                             const Position& end, const std::stop_token& stop) const;
    void cross_items(secondary::Registry& registry, const StoreId& store, bool compare) const;
    void cross_database(secondary::Registry& registry, const Config::Database& store,
                        bool compare) const;
    /// Where the old epoch ended, and the new one begins. Throws Error{Stop} when it does not say.
    const v1::LaneCut& end_of(const StoreId& store) const;
    const v1::LaneCut& start_of(const StoreId& store) const;

    const Config& config_;
    const v1::EpochRecord record_;
    const v1::EpochStart ended_;
    const Clock& clock_;
};

}  // namespace antipode
