#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chaos-tests/checker.hpp"
#include "chaos-tests/reader.hpp"
#include "chaos-tests/sites.hpp"
#include "chaos-tests/workload.hpp"
#include "tests/simulation/chance.hpp"

namespace antipode::chaos {

/// Two or three sites under load, with readers, for faults to act on. One thread, which owns all
/// processes.
class Stage {
  public:
    Stage(uint64_t seed, const Ground& ground);

    /// The site that takes writes; waits for one. Throws when none does within a minute.
    Site& primary();
    std::vector<Site*> mirrors() { return sites.others(primary()); }
    /// The same one for as long as the primary stays.
    Site& mirror();
    /// The primary, or a mirror; by the seed.
    Site& any();

    /// The application must be able to go on: `count` more writes are acknowledged. Throws when
    /// not.
    void load(int count);
    /// While something is broken: until `count` are acknowledged, or three times as many were
    /// tried, or a few seconds are over.
    void hold(int count);
    /// The same, but now and then, by the seed, for longer than any wait of a daemon lasts.
    void hold_or_outlast(int count);
    /// Between 2 and `most`, by the seed.
    int some(int most) { return 2 + static_cast<int>(chance.below(static_cast<size_t>(most - 1))); }

    /// What the readers and the faults have found since this was last asked.
    Violations take();
    void expect(bool holds, Invariant invariant, const std::string& text);
    /// It is what a check of these found.
    void expect(const Violations& none, const std::vector<Invariant>& asked);
    /// The fault did not hit: nothing is shown by what holds behind it.
    void miss(const std::string& why) { missed_ = why; }
    /// Why, since this was last asked.
    std::optional<std::string> take_miss() { return std::exchange(missed_, std::nullopt); }
    /// Something could have contradicted it.
    void ask(Invariant invariant) { ++asked_[invariant]; }
    bool was_asked(Invariant invariant) const { return asked_.contains(invariant); }
    /// A site that does not serve takes neither rows nor pushes, and says why.
    void expect_refusal(const Site& site);
    /// As of Workload; and what was changed before is on all mirrors.
    std::unique_lock<std::mutex> hold_structure();
    /// Nobody reads from the sites meanwhile.
    void without_readers(const std::function<void()>& work);
    /// What was found against it until now, and names `name`, is the fault's own work.
    void forgive(Invariant invariant, const std::string& name);
    /// Every mirror has everything, within a minute, and nobody's help; how long that took.
    std::chrono::milliseconds recover();
    /// Stops the load, compares everything.
    Violations compare_at_the_end();
    std::string describe() { return sites.pair.describe(); }

    static constexpr int writers = 3;
    simulation::Chance chance;
    History history;
    Sites sites;
    Workload workload;
    size_t lost = 0;  ///< items and transactions, by promotions; all of them are in quarantine
    /// Of each planned change of the primary: for how long nothing was acknowledged.
    std::vector<std::chrono::milliseconds> stopped;
    /// Of each promotion: from the word until it serves.
    std::vector<std::chrono::milliseconds> opened;
    /// Of each primary that could reach nobody: from then until it refused writes.
    std::vector<std::chrono::milliseconds> refused;
    /// Of each comparison at the end: from the last write until a mirror was equal.
    std::vector<std::chrono::milliseconds> equal;
    /// Of all readers.
    Reader::Seen seen() const;

  private:
    void note_ballast();
    void ask_of_history();
    Violations compare_with(const Site& follower, const View& here, const Checker& checker);
    Violations verify(const Site& follower);
    /// No half contents, no descriptors, no secrets in the log.
    void expect_clean(Site& site);
    Violations look_of_readers() const;
    const uint64_t seed_;
    int recoveries_ = 0;
    std::map<Invariant, int> asked_;
    std::map<std::string, size_t> descriptors_;  ///< of each site's daemon, once it was equal
    std::optional<std::string> missed_;
    std::vector<std::unique_ptr<Reader>> readers_;
    Violations found_;
};

}  // namespace antipode::chaos
