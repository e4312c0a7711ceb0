#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "protocol/message.hpp"

namespace antipode::secondary {

/// The recovery point: the newest instant up to which everything captured is applied on this site,
/// over all stores. Fed with markers and with how far each lane is finished. Passive.
class RecoveryPoint {
  public:
    explicit RecoveryPoint(std::set<StoreId> stores) : stores_(std::move(stores)) {}

    /// `before`: the event just before the marker; everything up to it must be finished.
    void add(const v1::Marker& marker, const Position& position, const Position& before,
             TimePoint received_at);

    /// `finished`: everything of the lane at or below is finished. `oldest_exception` holds back.
    void advance(const std::map<StoreId, Position>& finished,
                 const std::optional<Position>& oldest_exception);

    /// A database stands here. A marker that names a later commit is not reached, wherever the lane
    /// is: rows are missing that the stream does not bring.
    void applied(const StoreId& database, Lsn lsn) { applied_[database] = lsn; }
    /// nullopt: that is not known yet.
    std::optional<Lsn> stands_at(const StoreId& database) const;

    /// It was copied, or compared, and its rows are of that place: what they name may be still to
    /// come.
    void copied(const StoreId& database, Lsn lsn) { copied_[database] = {lsn, {}}; }
    /// Until everything is applied that was captured before those rows were read.
    bool is_settling(const StoreId& database) const { return copied_.contains(database); }

    /// nullopt: unknown. Never later than the primary's clock: where that is set back, it is known
    /// again once something is proven by the new time.
    std::optional<TimePoint> value() const { return value_; }
    /// The marker that proved it.
    const Position& proven_by() const { return proven_by_; }
    /// What was known before a restart.
    void restore(TimePoint value, const Position& proven_by) {
        value_ = value;
        proven_by_ = proven_by;
    }
    /// The stream is read again from an earlier place: its markers come again.
    void read_again() {
        pending_.clear();
        made_.clear();
    }

    /// The newest marker before which no row was committed that is not applied: rows may come
    /// through the stream later than what was captured after them. nullopt: there is no database.
    std::optional<Position> rows_are_past() const;

    struct Lane {
        std::optional<TimePoint> captured_through;  ///< newest proof that has arrived
        /// The last one that was known: also while the primary can prove nothing.
        std::optional<TimePoint> proven_through;
        std::optional<TimePoint> applied_through;   ///< the same, of what is applied
        TimePoint marker_clock{};                   ///< primary's clock in the newest marker
        TimePoint marker_received{};                ///< this site's clock when it came
        uint64_t head = 0;                          ///< number of the lane's newest event
        uint64_t session = 0;
        Lsn decoded_through;
        Position reached;  ///< newest marker before which everything of the lane is finished
        /// Databases: the newest transaction's end that it names; nullopt: not known, since the
        /// session had not decoded everything yet that was there when it began.
        std::optional<Lsn> reached_commit;
        /// Databases: the marker that showed that rows are missing; nullopt: none are.
        std::optional<Position> rows_missing_at;
    };
    const std::map<StoreId, Lane>& lanes() const { return lanes_; }

  private:
    struct Pending {
        Position position;
        Position before;
        std::map<StoreId, std::optional<TimePoint>> captured;
        std::map<StoreId, Lsn> commits;
        std::set<StoreId> lanes_to_come;
    };
    bool lacks_rows(const Pending& marker, const StoreId& store) const;
    void note_clock(const StoreId& store, const v1::Marker::Lane& said, TimePoint clock);
    std::optional<TimePoint> least_captured(const Pending& marker) const;
    void settle(TimePoint captured);
    void reached(const Pending& marker, const std::optional<Position>& oldest_exception);
    void pass_rows();

    std::set<StoreId> stores_;
    std::deque<Pending> pending_;
    struct Made {
        Position position;
        TimePoint at;  ///< the primary's clock
    };
    std::deque<Made> made_;  ///< markers that rows are not past
    Made newest_;            ///< marker that ever came
    Position rows_are_past_;
    std::map<StoreId, Lane> lanes_;
    std::map<StoreId, Lsn> applied_;
    struct Copied {
        Lsn lsn;
        std::optional<TimePoint> at;  ///< the primary's clock, when it had decoded that far
    };
    std::map<StoreId, Copied> copied_;  ///< databases whose rows are newer than what they name
    std::optional<TimePoint> value_;
    Position proven_by_;
};

}  // namespace antipode::secondary
