#pragma once

#include <atomic>
#include <memory>
#include <mutex>
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
    /// `structure`: who holds it may change the structure.
    Writer(Sites& sites, History& history, std::mutex& structure, int number, uint64_t seed);

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
    void overwrite(const Site& site, size_t bytes);
    /// Adds a column, a table or an index; nothing when somebody else holds the structure.
    void change_structure(const Site& site);
    /// Makes one of its large objects, or writes another content into it, or unlinks it.
    void change_large_object(const Site& site);

    /// Of a Put's file.
    size_t draw_size();
    /// Row and number of a Put, in one transaction.
    std::string insertion(Operation& operation);
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
    std::mutex& structure_;
    const int number_;
    simulation::Chance chance_;
    std::filesystem::path clone_;
    int next_ = 0;                      ///< number of the next Put
    int versions_ = 0;                  ///< of the file that is overwritten
    std::vector<Operation> mine_;       ///< acknowledged Puts that are there
    std::vector<std::string> commits_;  ///< pushed
    int large_ = 0;                     ///< files so far that travel by ranges
    int structures_ = 0;                ///< changes of the structure so far
    std::string column_;                ///< the last one that it added to the table of Puts
    std::string table_;                 ///< the last one that it added
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
    /// Nobody changes the structure as long as this lives; what was begun has ended.
    std::unique_lock<std::mutex> hold_structure() { return std::unique_lock(structure_); }
    int acknowledged() const;
    int attempted() const;

  private:
    std::mutex structure_;
    std::vector<std::unique_ptr<Writer>> writers_;
    std::vector<std::jthread> threads_;
};

}  // namespace antipode::chaos
