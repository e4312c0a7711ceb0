#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/seams/bulk.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// Compares what this site believes to have of each item with what the primary believes to have
/// published, by sums: an event that was lost without a trace, or a row of either site's state that
/// changed by itself, is found within seconds and named, and the item is sent again. An answer of
/// the primary is compared once everything up to its position is finished here, and only where
/// nothing later has been applied; so no load makes a false alarm. Behind a gap nothing is
/// compared: Repair does that.
///
/// step(): one thread. status(): any.
class InventoryCheck {
  public:
    struct Options {
        std::vector<StoreId> stores;                 ///< of items
        std::chrono::milliseconds interval{3000};    ///< between two looks at a store
        std::chrono::milliseconds again_in{60'000};  ///< a bucket's items are asked for once in it
    };
    InventoryCheck(Options options, Registry& registry, BulkSource& primary, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// What is due now. Throws Error{Retry} when the primary does not answer.
    void step(const std::stop_token& stop);

    struct Status {
        /// When everything was equal last; nullopt: not yet.
        std::optional<TimePoint> equal_at;
        uint64_t undecided = 0;  ///< buckets that could not be compared at the last look
        uint64_t differed = 0;   ///< items, since the start
        uint64_t damaged = 0;    ///< sums of this site that were not those of its rows
        std::string last_differing;
    };
    Status status(const StoreId& store) const;

  private:
    struct Sums {
        verify::SumsAnswer answer;
        SteadyTime since;
    };
    struct Items {
        Position position;
        std::set<uint32_t> buckets;
        std::map<std::string, Digest> items;
        SteadyTime since;
    };
    struct Watch {
        SteadyTime due{};
        bool round_ended = true;  ///< all rows were read again
        std::optional<SteadyTime> round_began;
        std::set<uint32_t> damaged;  ///< buckets whose rows changed by themselves
        std::optional<Sums> sums;    ///< to be compared when everything before is finished
        std::optional<Items> items;  ///< the same
        std::map<uint32_t, SteadyTime> asked;  ///< buckets whose items were asked for
        std::map<uint32_t, SteadyTime> busy;   ///< since when something later was applied in them

        bool is_under_way() const { return !round_ended || !damaged.empty() || sums || items; }
    };
    std::chrono::milliseconds until_next_step() const;
    void look(const StoreId& store, const std::stop_token& stop);
    void read_rows(const StoreId& store, Watch& watch);
    void ask_sums(const StoreId& store, Watch& watch, const std::stop_token& stop);
    void compare_sums(const StoreId& store, Watch& watch, const std::stop_token& stop);
    void ask_items(const StoreId& store, Watch& watch, std::set<uint32_t> buckets,
                   const std::stop_token& stop);
    /// Whether to look at a bucket that is not equal item by item.
    bool is_wrong(Watch& watch, uint32_t bucket, bool busy) const;
    void compare_items(const StoreId& store, Watch& watch);
    void judge(const StoreId& store, const Items& primary, const std::string& item,
               const Digest& published);
    /// nullopt: the primary has no such thing.
    std::optional<std::string> get(const BulkRequest& request, const std::stop_token& stop);
    template <typename Change>
    void change_status(const StoreId& store, Change change);

    const Options options_;
    Registry& registry_;
    BulkSource& primary_;
    const Clock& clock_;
    std::map<StoreId, Watch> watches_;
    Synchronized<std::map<StoreId, Status>> status_;
};

}  // namespace antipode::secondary
