#pragma once

#include <atomic>
#include <mutex>
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

  private:
    void look_once();
    /// Of these rows: those that still name what is not there when looked at once more.
    Violations references_that_stay(View rows);
    void check_point(int64_t point_us, const View& rows);
    bool is_excused(const Violation& violation) const;
    void add(const Violations& more);

    Sites& sites_;
    History& history_;
    Site& site_;
    std::mutex mutex_;
    Violations found_;
    std::atomic<int> looks_ = 0;
    std::atomic<int> points_ = 0;
    std::jthread thread_;
};

}  // namespace antipode::chaos
