#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "secondary/look.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// Reads the content of a store's items again and again, each at least once in an interval and at
/// once when an operator asks, and compares it with what was applied. An item that differs becomes
/// an exception, which Repair has the primary send again; it is looked at again once it was.
/// What is here without having been applied is only named: it is nobody's to delete.
///
/// No false alarm: what differs may be a change that is on its way. It counts when everything that
/// can have been applied is finished and recorded, and the item, by the record unchanged since the
/// first look, differs still, without anything being applied to it just then.
///
/// run() and step(): one thread. status(), seen(): any.
class Sweep {
  public:
    static constexpr size_t most_extras = 1000;
    struct Options {
        StoreId store;
        std::chrono::milliseconds every{};  ///< 0: only when asked
        /// Read at most; 0: as fast as it goes.
        std::function<uint64_t()> bytes_per_second = [] { return uint64_t{0}; };
        std::chrono::milliseconds patience{60'000};  ///< until changes on their way are applied
        /// What is no item, whatever it is.
        std::function<bool(const std::string& name)> excludes = [](const auto&) { return false; };
    };
    /// How far the store's lane is.
    struct Lane {
        std::function<Position()> newest;    ///< nothing behind it can have been applied
        std::function<Position()> finished;  ///< everything before is, and is recorded
        /// Something of it may be here that is recorded only when this is false again.
        std::function<bool(const std::string& item)> is_applying = [](const auto&) {
            return false;
        };
    };
    Sweep(Options options, ItemLook& items, Registry& registry, Lane lane, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Looks at some items that are due; false: none is. Throws Error{Retry} when it cannot be
    /// known whether what differs is wrong, when none of many items is here at all, or when none
    /// can be read.
    bool step(const std::stop_token& stop);

    /// Somebody saw that something that was never applied is here, or that nothing of that name, or
    /// below it, is any more. Any thread.
    void seen(const std::string& name, bool here);
    /// Looks for what is here without having been applied; false: that is not due.
    bool look_for_extras(const std::stop_token& stop);

    struct Status {
        // Since the start:
        uint64_t looked = 0;
        std::string last_differing;  ///< "a.txt: SHA-256 ..."; empty: none
        // Of what is here and was not applied, at most most_extras; nullopt: not looked yet.
        std::optional<uint64_t> extras;
        std::string first_extra;
        uint64_t names_looked = 0;  ///< Registry::looks_asked() when it was looked for them
    };
    Status status() const { return status_.copy(); }

  private:
    struct Suspect {
        std::string item;
        ItemState state;
        Look look;
    };
    std::vector<Suspect> look_at(const std::vector<std::string>& items,
                                 const std::stop_token& stop);
    std::optional<bool> look_at(Suspect& suspect, const std::stop_token& stop);
    std::vector<std::string> due_items();
    void require_disk(const std::stop_token& stop);
    /// `doubts`: what would then still be in doubt, in words; empty: nothing, however long it
    /// takes.
    void wait_for_what_is_coming(const std::function<std::string()>& doubts,
                                 const std::stop_token& stop);
    std::string doubts_of(const std::vector<Suspect>& suspects) const;
    std::string doubts_of(const std::vector<std::string>& extras) const;
    void judge(const std::vector<Suspect>& suspects, const std::stop_token& stop);
    void report(const Suspect& suspect);
    std::vector<std::string> unknown_names(const std::stop_token& stop);
    bool is_unknown(const std::string& name) const;
    bool judge_seen(const std::stop_token& stop);
    void set_extras(std::set<std::string> extras);
    void pace(uint64_t bytes, const std::stop_token& stop);

    const Options options_;
    ItemLook& items_;
    Registry& registry_;
    const Lane lane_;
    const Clock& clock_;
    struct Postponed {
        SteadyTime until{};
        unsigned tries = 0;
        std::string why;
        std::string next_step;
    };
    std::map<std::string, Postponed> postponed_;
    size_t failed_looks_ = 0;  ///< one after the other
    uint64_t unpaced_ = 0;
    std::optional<SteadyTime> extras_at_;  ///< when it was looked for them
    std::set<std::string> extras_;
    Synchronized<std::map<std::string, bool>> seen_;
    Synchronized<Status> status_;
};

}  // namespace antipode::secondary
