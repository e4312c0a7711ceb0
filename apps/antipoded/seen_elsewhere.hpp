#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/synchronized.hpp"
#include "failover/conductor.hpp"

namespace antipode {

/// A site that became the primary: which other sites have applied its new epoch, up to a marker
/// behind the opening of its writes, and how soon. A line of the journal, "seen", says so once all
/// have, or after seen_limit. It ends nothing and holds up nothing: the change is done before.
class SeenElsewhere {
  public:
    SeenElsewhere(const Config& config, failover::Journal& journal, const Clock& clock)
        : config_(config), journal_(journal), clock_(clock) {}

    /// Any thread: what the sites report.
    void hear(const std::vector<v1::SiteReport>& reports);
    /// The journal's thread. After a restart it goes on; never throws.
    void look(const failover::ConductorStatus& now);

  private:
    bool has_time(const failover::JournalEntry& opened);
    std::string words(const failover::JournalEntry& opened);

    const Config& config_;
    failover::Journal& journal_;
    const Clock& clock_;
    Synchronized<std::map<std::string, v1::SiteReport>> reports_;
    uint64_t epoch_ = 0;  ///< of which it is
    SteadyTime until_{};
    std::map<std::string, TimePoint> applied_;  ///< when it was heard
};

inline constexpr std::chrono::seconds seen_limit(30);

/// When writes opened, where a site serves because of an operation and nobody has written who has
/// seen it.
std::optional<failover::JournalEntry> opened_unseen(
    const std::vector<failover::JournalEntry>& journal);

/// How far a site is with what was written until `opened`.
enum class Seen {
    Nothing,
    Received,  ///< on its disk, not all of it applied
    Applied,
};
Seen seen_by(const v1::SiteReport& report, const failover::JournalEntry& opened);

}  // namespace antipode
