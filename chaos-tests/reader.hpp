#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "chaos-tests/checker.hpp"
#include "chaos-tests/sites.hpp"
#include "tests/simulation/chance.hpp"

namespace antipode::chaos {

/// Reads from a site that follows, all the time and as the application's readers would: does each
/// visible row's file and commit stand there, are transactions whole, is everything there that the
/// recovery point promises? One thread.
class Reader {
  public:
    Reader(Sites& sites, History& history, Site& site)
        : sites_(sites), history_(history), site_(site) {}
    ~Reader() { stop(); }
    void start();
    void stop() { thread_ = {}; }

    /// What it has found since it was last asked. Any thread.
    Violations take();
    /// How much it has looked at.
    struct Seen {
        int looks = 0;
        int failed = 0;  ///< looks that came to nothing: its server was down
        int points = 0;  ///< recovery points that were compared
        /// Rows that named what was not there, while the site said that it compares its database.
        int while_comparing = 0;
        /// Rows that named a file which the primary's site had removed before the primary came to
        /// read it, or to look.
        int never_read = 0;
        /// How old the recovery point was at each look, by the primary's clock.
        std::vector<std::chrono::milliseconds> ages;
        Seen& operator+=(const Seen& more);
    };
    /// Any thread.
    Seen seen() const;

  private:
    void look_once();
    /// The newest of each writer, which are what can be missing, and a few of the others.
    View some_of(const View& rows);
    /// Of these rows: those that still name what is not there when looked at once more.
    Violations references_that_stay(View rows);
    /// Nothing that was acknowledged before it is missing, rows or what is written again and again.
    void check_point(int64_t point_us, View view);
    /// For who reads a violation: when, and what the site said of itself.
    std::string circumstances() const;
    Violations open_twice() const;
    void note_age(int64_t point_us);
    void count(int Seen::*what);
    /// nullopt: it tells nothing, because its daemon is down or changes its role.
    std::optional<std::set<std::string>> excuses() const;
    std::set<std::string> of_events(const std::string& filter) const;
    std::set<std::string> never_read() const;
    std::set<std::string> came_and_went() const;
    bool is_excused(const Violation& violation, const std::set<std::string>& excuses);
    void add(const Violations& more);

    Sites& sites_;
    History& history_;
    Site& site_;
    mutable std::mutex mutex_;
    Violations found_;
    Seen seen_;
    std::set<std::string> excuses_;  ///< before the look, when the site told some last
    simulation::Chance chance_{1};   ///< which older rows it looks at
    std::jthread thread_;
};

}  // namespace antipode::chaos
