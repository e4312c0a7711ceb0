#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"

namespace antipode::secondary {

/// Announcements whose items are not all here yet: the places in the order that rows wait for.
/// Passive.
class Announcements {
  public:
    /// One item of a store that an announcement waits for.
    struct OpenItem {
        StoreId store;
        std::string item;
        Position position;  ///< of the oldest open announcement of the item
    };

    void open(const StoreId& store, const Position& announcement,
              const std::vector<std::string>& items, SteadyTime now);

    /// `item` is fulfilled up to and including announcement `through`. Returns the announcements
    /// that are thereby complete.
    std::vector<Position> fulfil(const StoreId& store, const std::string& item,
                                 const Position& through);

    /// Everything that `store` announced before `session` began is fulfilled or announced again.
    std::vector<Position> fulfil_before_session(const StoreId& store, uint64_t epoch,
                                                uint64_t session);

    /// The oldest open announcement; nullopt: none is open.
    std::optional<Position> oldest() const;
    /// The items of the oldest open announcement, when it has been open since before `deadline`.
    std::vector<OpenItem> expired(SteadyTime deadline) const;

    size_t open_items(const StoreId& store) const;

  private:
    struct Announcement {
        StoreId store;
        size_t open_items = 0;
        SteadyTime since{};
    };
    void close(const Position& position, std::vector<Position>& complete);

    std::map<Position, Announcement> announcements_;
    /// Per store and item: its open announcements, oldest first.
    std::map<StoreId, std::map<std::string, std::vector<Position>>> items_;
};

}  // namespace antipode::secondary
