#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "chaos-tests/history.hpp"
#include "chaos-tests/sites.hpp"
#include "tests/simulation/chance.hpp"

namespace antipode::chaos {

/// One user of the application: writes all the time to whichever site is open, one thing after the
/// other, and notes what was answered. Nothing is tried twice: what is unknown stays unknown. One
/// thread; what it does depends on its seed and on the answers alone.
class Writer {
  public:
    Writer(Sites& sites, History& history, int number, uint64_t seed);

    /// False: no site was open.
    bool write_once();
    int acknowledged() const { return acknowledged_; }
    int attempted() const { return attempted_; }

  private:
    void write_to(const Site& site);
    void put(const Site& site);
    void remove(const Site& site);
    void transfer(const Site& site);
    void move(const Site& site);
    void overwrite(const Site& site);

    Operation make(Operation::Kind kind, const Site& site) const;
    void note(size_t place, Operation& operation);
    /// Puts the file of the operation in its place, whole, and names its digest.
    void write_content(const Site& site, Operation& operation, size_t bytes);
    /// False: refused, and the operation says why.
    bool commit_and_push(const Site& site, Operation& operation);
    /// Sets outcome and error; what the server answered.
    static std::string run_sql(const Site& site, const std::string& sql, Operation& operation);

    Sites& sites_;
    History& history_;
    const int number_;
    simulation::Chance chance_;
    std::filesystem::path clone_;
    int next_ = 0;                      ///< number of the next Put
    int versions_ = 0;                  ///< of the file that is overwritten
    std::vector<Operation> mine_;       ///< acknowledged Puts that are there
    std::vector<std::string> commits_;  ///< pushed
    std::atomic<int> acknowledged_ = 0;
    std::atomic<int> attempted_ = 0;
};

/// Several of them, each in a thread of its own.
class Workload {
  public:
    Workload(Sites& sites, History& history, int writers, uint64_t seed);
    ~Workload() { stop(); }
    void start();
    void stop();
    /// Waits for `count` more acknowledged operations: progress, not time, paces the faults. False
    /// after `limit`.
    bool go_on(int count, std::chrono::milliseconds limit);
    int acknowledged() const;
    int attempted() const;

  private:
    std::vector<std::unique_ptr<Writer>> writers_;
    std::vector<std::jthread> threads_;
};

}  // namespace antipode::chaos
