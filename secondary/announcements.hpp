#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"

namespace antipode::secondary {

/// Announcements whose items are not all here yet. Rows behind them wait, unless it is removals
/// that were announced: no row needs something to be gone. Passive.
class Announcements {
  public:
    /// One item of a store that an announcement waits for.
    struct OpenItem {
        StoreId store;
        std::string item;
        Position position;  ///< of the oldest open announcement of the item
    };

    void open(const StoreId& store, const Position& announcement,
              const std::vector<std::string>& items, bool removals, SteadyTime now);

    /// `item` is fulfilled up to and including announcement `through`. Returns the announcements
    /// that are thereby complete.
    std::vector<Position> fulfil(const StoreId& store, const std::string& item,
                                 const Position& through);
    /// The same, while removals that fulfil announcements up to `removed` are still to come.
    std::vector<Position> fulfil_before_removals(const StoreId& store, const std::string& item,
                                                 const Position& through, const Position& removed);
    /// What was announced of `item` up to `through` is gone, and its removal follows: rows wait for
    /// it no longer, but it is not complete before that.
    void removal_follows(const StoreId& store, const std::string& item, const Position& through);

    /// Everything that `store` announced before `session` began is fulfilled or announced again,
    /// but for the whole store. What is announced again stays open until that is fulfilled (if it
    /// is gone now, rows wait for it no longer), and what an event that is here fulfils until that
    /// is applied: `coming` says up to where (`removals`: also by removals).
    struct Lost {
        std::vector<Position> complete;
        /// Place that rows waited for, and wait for no longer: without a gap what was announced
        /// there is here, with one the event may be lost.
        std::optional<Position> oldest;
    };
    using Coming = std::function<Position(const std::string& item, bool removals)>;
    Lost fulfil_before_session(const StoreId& store, uint64_t epoch, uint64_t session,
                               const Coming& coming);
    /// Nothing that `store` announced before `end` comes any more, but for the whole store and for
    /// what events that are here fulfil. A removal is not what rows wait for: it may wait for them.
    Lost give_up_lost(const StoreId& store, const Position& end, const Coming& coming);

    /// The oldest open announcement that rows wait for; nullopt: there is none.
    std::optional<Position> oldest() const;
    bool is_waited_for(const StoreId& store, const Position& announcement) const;
    /// Its items, when it has been open since before `deadline`.
    std::vector<OpenItem> expired(SteadyTime deadline) const;

    struct Range {
        Position oldest;
        Position newest;
    };
    /// The store's open announcements that rows wait for; nullopt: there is none.
    std::optional<Range> waited_for(const StoreId& store) const;
    /// The item's open announcements; nullopt: there is none.
    std::optional<Range> range(const StoreId& store, const std::string& item) const;

    size_t open_items(const StoreId& store) const;

  private:
    struct Announcement {
        StoreId store;
        size_t open_items = 0;
        size_t waited_for = 0;  ///< those of them that rows wait for
        SteadyTime since{};
    };
    /// An item's place in an announcement.
    struct Open {
        Position position;
        bool waited_for = true;
    };
    void close(const Open& open, std::vector<Position>& complete);
    void end_wait(const Position& position);
    /// Rows no longer wait for the item's open announcements for which `which` holds.
    void stop_waiting(const StoreId& store, const std::string& item,
                      const std::function<bool(const Open&)>& which);
    /// The store's items all of whose announcements are older than `end`.
    std::vector<std::string> items_before(const StoreId& store, const Position& end) const;
    /// Closes the item's open announcements for which `which` holds.
    void fulfil_where(const StoreId& store, const std::string& item,
                      const std::function<bool(const Open&)>& which,
                      std::vector<Position>& complete);

    std::map<Position, Announcement> announcements_;
    std::map<StoreId, std::set<Position>> waited_for_;  ///< those that rows wait for
    /// Per store and item: its open announcements, oldest first.
    std::map<StoreId, std::map<std::string, std::vector<Open>>> items_;
};

}  // namespace antipode::secondary
