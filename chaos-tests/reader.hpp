#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "chaos-tests/checker.hpp"
#include "chaos-tests/sites.hpp"

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
    int looks() const { return looks_; }
    int points() const { return points_; }  ///< recovery points that were compared
    /// Rows that named what was not there, while the site said that it compares its database.
    int while_comparing() const { return while_comparing_; }

  private:
    void look_once();
    /// Of these rows: those that still name what is not there when looked at once more.
    Violations references_that_stay(View rows);
    void check_point(int64_t point_us, const View& rows);
    std::set<std::string> excuses() const;
    bool is_excused(const Violation& violation, const std::set<std::string>& excuses);
    void add(const Violations& more);

    Sites& sites_;
    History& history_;
    Site& site_;
    std::mutex mutex_;
    Violations found_;
    std::atomic<int> looks_ = 0;
    std::atomic<int> points_ = 0;
    std::atomic<int> while_comparing_ = 0;
    std::set<std::string> excuses_;  ///< before the look
    std::jthread thread_;
};

}  // namespace antipode::chaos
