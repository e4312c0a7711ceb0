#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"

namespace antipode::primary {

/// Reads everything that was published from a store of items again, whole, within each period: what
/// a failing disk made of an item is named (Inventory::defects) before somebody needs it. Changes
/// are not its business: capture finds them. Goes on after a restart where it stood.
class Sweep {
  public:
    struct Options {
        std::chrono::milliseconds period;  ///< 0: never
        /// Read at most; 0: as fast as it goes.
        std::function<uint64_t()> bytes_per_second = [] { return uint64_t{0}; };
    };
    /// The references must outlive the object.
    Sweep(ItemCapture& capture, Inventory& inventory, Options options, const Clock& clock)
        : capture_(capture), inventory_(inventory), options_(options), clock_(clock) {}

    /// Body of a worker.
    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Looks at the next items. False: the round is over, and the next one not due.
    bool step(const std::stop_token& stop);

    /// When the oldest round began that has looked at everything; nullopt: none has. Any thread.
    std::optional<TimePoint> looked_since() const;

  private:
    /// False: there are none, or none that can be read now.
    bool prove(const std::stop_token& stop);
    void look(const std::string& item, const std::stop_token& stop);
    /// At what is broken, and at what could not be read. False: nothing is due.
    bool look_again(const std::stop_token& stop);
    void skip(const std::string& item, const Error& error);
    void unskip(const std::string& item);
    void end_round(Inventory::SweepPlace& place) const;
    void pace(uint64_t bytes, const std::stop_token& stop);

    ItemCapture& capture_;
    Inventory& inventory_;
    const Options options_;
    const Clock& clock_;
    std::set<std::string> unreadable_;            ///< of what is to be proven
    SteadyTime retry_{};                          ///< of those
    std::map<std::string, std::string> skipped_;  ///< could not be read in this round, and why
    bool has_skipped_more_ = false;
    SteadyTime again_{};    ///< when it is looked at those again
    uint64_t unpaced_ = 0;  ///< bytes read since the last pause
};

}  // namespace antipode::primary
