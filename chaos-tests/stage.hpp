#pragma once

#include <chrono>
#include <functional>
#include <memory>
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
    /// The primary or that mirror, by the seed.
    Site& any() { return chance.one_in(2) ? primary() : mirror(); }

    /// The application must be able to go on: `count` more writes are acknowledged. Throws when
    /// not.
    void load(int count);
    /// While something is broken: until `count` are acknowledged, or three times as many were
    /// tried, or a few seconds are over.
    void hold(int count);
    /// Between 2 and `most`, by the seed.
    int some(int most) { return 2 + static_cast<int>(chance.below(static_cast<size_t>(most - 1))); }

    /// What the readers and the faults have found since this was last asked.
    Violations take();
    void expect(bool holds, Invariant invariant, const std::string& text);
    /// It is what a check found.
    void expect(const Violations& none);
    /// Nobody reads from the sites meanwhile.
    void without_readers(const std::function<void()>& work);
    /// What was found against it until now, and names `name`, is the fault's own work.
    void forgive(Invariant invariant, const std::string& name);
    /// Every mirror has everything, within a minute, and nobody's help; its delay.
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
    int looks() const;
    int points() const;
    int while_comparing() const;

  private:
    void note_ballast();
    Violations compare_with(const Site& follower, const View& here, const Checker& checker);
    static Violations verify(const Site& follower);
    const uint64_t seed_;
    std::vector<std::unique_ptr<Reader>> readers_;
    Violations found_;
};

}  // namespace antipode::chaos
