#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/seams/bulk.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "protocol/message.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// Asks the primary for what this site lacks: parked items when they are due, items that differ
/// from the primary's inventory after a gap, transactions after a gap. Nothing is ever deleted
/// here: an item that the primary does not list is asked for too, and the primary's answer is a
/// captured removal. Passive but for run().
class Repair {
  public:
    /// Sends a request to the primary. False: it cannot be met, because the primary no longer has
    /// what is wanted. Throws Error{Retry} when it is not taken now.
    using Send = std::function<bool(const v1::Want&)>;
    /// The commit up to which a database is applied here.
    using AppliedLsn = std::function<Lsn(const StoreId&)>;

    Repair(std::string site, std::vector<StoreId> stores, Registry& registry, BulkSource& primary,
           Send send, AppliedLsn applied_lsn, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);

    /// One look: asks for everything that is due now.
    void step(const std::stop_token& stop);

    /// The database lacks transactions behind the commit that it has applied, `applied`, which the
    /// primary cannot send again: its tables must be compared. Any thread.
    bool is_beyond_repair(const StoreId& store, Lsn applied) const;

  private:
    void ask_for_due_items();
    struct Differences {
        std::vector<std::string> missing;  ///< or not as they should be
        std::vector<std::string> surplus;  ///< here, not in the primary's inventory
    };
    struct Schedule {
        unsigned tries = 0;
        unsigned idle = 0;     ///< looks in a row that found no less than the one before
        SteadyTime due{};      ///< the next look
        SteadyTime ask_due{};  ///< not before, what differs is asked for once more
        /// What differed at the first look behind the gap before `looked_behind`, and did at each
        /// later one. Nothing else can be missing: the rest was equal, and what came since has its
        /// events behind the gap. nullopt: there was no such look, or too much differed.
        std::optional<std::set<std::string>> lasting;
        Position looked_behind;
        /// Nothing is missing behind the gap before `passed`: rows may pass. Those up to
        /// `rows_until` may name what the primary has removed since, and no later ones.
        std::optional<Position> passed;
        Position rows_until;
        bool is_equal = false;  ///< nor is anything too much; only rows are waited for
    };
    /// Where the primary's inventory and this site differ, but for what is an exception already
    /// and asked for as such, and, behind a gap, for what an event behind it brought or will bring.
    Differences differences(const StoreId& store, const Registry::Gap& gap,
                            const Schedule& schedule, const std::stop_token& stop);
    static void remember(const Differences& differing, const Registry::Gap& gap,
                         Schedule& schedule);
    void look_again(const StoreId& store, const Registry::Gap& gap, Schedule& schedule,
                    const std::stop_token& stop);
    void mend(const StoreId& store, const Registry::Gap& gap, Schedule& schedule, bool asks,
              const std::stop_token& stop);
    void let_rows_pass(const StoreId& store, const Registry::Gap& gap, Schedule& schedule,
                       const std::stop_token& stop);
    void mend_once_rows_came(const StoreId& store, const Registry::Gap& gap,
                             const Schedule& schedule);
    Position published_through(const StoreId& store, const std::stop_token& stop);
    void ask_for(const StoreId& store, const std::vector<std::string>& items);
    void send(const StoreId& store, const std::vector<std::string>& items,
              const std::string& reason);

    const std::string site_;
    const std::vector<StoreId> stores_;
    Registry& registry_;
    BulkSource& primary_;
    Send send_;
    AppliedLsn applied_lsn_;
    const Clock& clock_;
    std::map<StoreId, Schedule> schedules_;
    TimePoint looked_at_{};  ///< by the calendar
    Synchronized<std::map<StoreId, Lsn>> beyond_repair_;
};

}  // namespace antipode::secondary
