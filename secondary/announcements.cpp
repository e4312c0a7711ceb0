#include "secondary/announcements.hpp"

#include <algorithm>
#include <utility>

#include "protocol/message.hpp"

namespace antipode::secondary {

void Announcements::open(const StoreId& store, const Position& announcement,
                         const std::vector<std::string>& items, bool removals, SteadyTime now) {
    size_t count = 0;
    for (const std::string& item : items) {
        std::vector<Open>& open = items_[store][item];
        if (open.empty() || open.back().position < announcement) {
            open.push_back({announcement, !removals});
            ++count;
        }
    }
    if (count > 0) {
        announcements_[announcement] = {store, count, removals ? 0 : count, now};
        if (!removals) {
            waited_for_[store].insert(announcement);
        }
    }
}

void Announcements::end_wait(const Position& position) {
    const auto found = announcements_.find(position);
    if (found != announcements_.end() && --found->second.waited_for == 0) {
        waited_for_[found->second.store].erase(position);
    }
}

void Announcements::close(const Open& open, std::vector<Position>& complete) {
    if (open.waited_for) {
        end_wait(open.position);
    }
    const auto found = announcements_.find(open.position);
    if (found != announcements_.end() && --found->second.open_items == 0) {
        announcements_.erase(found);
        complete.push_back(open.position);
    }
}

void Announcements::fulfil_where(const StoreId& store, const std::string& item,
                                 const std::function<bool(const Open&)>& which,
                                 std::vector<Position>& complete) {
    auto& items = items_[store];
    const auto found = items.find(item);
    if (found == items.end()) {
        return;
    }
    std::erase_if(found->second, [&](const Open& open) {
        const bool fulfilled = which(open);
        if (fulfilled) {
            close(open, complete);
        }
        return fulfilled;
    });
    if (found->second.empty()) {
        items.erase(found);
    }
}

std::vector<Position> Announcements::fulfil(const StoreId& store, const std::string& item,
                                            const Position& through) {
    std::vector<Position> complete;
    fulfil_where(
        store, item, [&](const Open& open) { return open.position <= through; }, complete);
    return complete;
}

std::vector<Position> Announcements::fulfil_before_removals(const StoreId& store,
                                                            const std::string& item,
                                                            const Position& through,
                                                            const Position& removed) {
    removal_follows(store, item, std::min(through, removed));
    std::vector<Position> complete;
    fulfil_where(
        store, item,
        [&](const Open& open) { return open.position <= through && open.position > removed; },
        complete);
    return complete;
}

void Announcements::removal_follows(const StoreId& store, const std::string& item,
                                    const Position& through) {
    stop_waiting(store, item, [&](const Open& open) { return open.position <= through; });
}

void Announcements::stop_waiting(const StoreId& store, const std::string& item,
                                 const std::function<bool(const Open&)>& which) {
    auto& items = items_[store];
    const auto found = items.find(item);
    if (found == items.end()) {
        return;
    }
    for (Open& open : found->second) {
        if (open.waited_for && which(open)) {
            open.waited_for = false;
            end_wait(open.position);
        }
    }
}

std::vector<std::string> Announcements::items_before(const StoreId& store,
                                                     const Position& end) const {
    std::vector<std::string> items;
    if (const auto of_store = items_.find(store); of_store != items_.end()) {
        for (const auto& [item, open] : of_store->second) {
            if (open.back().position < end) {
                items.push_back(item);
            }
        }
    }
    return items;
}

Announcements::Lost Announcements::fulfil_before_session(const StoreId& store, uint64_t epoch,
                                                         uint64_t session, const Coming& coming) {
    const Position end{epoch, session, 0};
    std::vector<std::string> items;
    for (const auto& [item, open] : items_[store]) {
        if (open.front().position < end && item != protocol::whole_store) {
            items.push_back(item);
        }
    }
    Lost lost;
    for (const std::string& item : items) {
        const std::vector<Open>& open = items_[store].at(item);
        // What was changed, and is gone now, is announced again as gone only: no row waits for
        // that.
        const bool changed_again = std::any_of(open.begin(), open.end(), [&](const Open& place) {
            return place.position > end && place.waited_for;
        });
        const bool again = open.back().position > end;
        const Position change = coming(item, false);
        const Position removal = coming(item, true);
        const auto no_row_needs = [&](const Open& place) {
            return place.position < end && place.waited_for && !changed_again &&
                   place.position > change;
        };
        for (const Open& place : open) {
            if (no_row_needs(place)) {
                lost.oldest = std::min(lost.oldest.value_or(place.position), place.position);
                break;
            }
        }
        if (again) {
            // It is not as it was then before it is gone here, too.
            stop_waiting(store, item, no_row_needs);
            continue;
        }
        fulfil_where(
            store, item,
            [&](const Open& place) {
                return place.waited_for ? no_row_needs(place)
                                        : place.position < end && place.position > removal;
            },
            lost.complete);
    }
    return lost;
}

Announcements::Lost Announcements::give_up_lost(const StoreId& store, const Position& end,
                                                const Coming& coming) {
    Lost lost;
    for (const std::string& item : items_before(store, end)) {
        if (item == protocol::whole_store) {
            continue;
        }
        const Position change = coming(item, false);
        const Position removal = coming(item, true);
        fulfil_where(
            store, item,
            [&](const Open& open) {
                const bool is_lost = open.position > (open.waited_for ? change : removal);
                if (is_lost) {
                    lost.oldest = std::min(lost.oldest.value_or(open.position), open.position);
                }
                return is_lost;
            },
            lost.complete);
    }
    return lost;
}

std::optional<Position> Announcements::oldest() const {
    std::optional<Position> oldest;
    for (const auto& [store, positions] : waited_for_) {
        if (!positions.empty()) {
            oldest = std::min(oldest.value_or(*positions.begin()), *positions.begin());
        }
    }
    return oldest;
}

bool Announcements::is_waited_for(const StoreId& store, const Position& announcement) const {
    const auto of_store = waited_for_.find(store);
    return of_store != waited_for_.end() && of_store->second.contains(announcement);
}

std::optional<Announcements::Range> Announcements::waited_for(const StoreId& store) const {
    const auto of_store = waited_for_.find(store);
    return of_store == waited_for_.end() || of_store->second.empty()
               ? std::nullopt
               : std::optional(Range{*of_store->second.begin(), *of_store->second.rbegin()});
}

std::vector<Announcements::OpenItem> Announcements::expired(SteadyTime deadline) const {
    std::vector<OpenItem> expired;
    const auto first = oldest();
    if (!first) {
        return expired;
    }
    const Position position = *first;
    const Announcement& announcement = announcements_.at(position);
    if (announcement.since > deadline) {
        return expired;
    }
    for (const auto& [item, open] : items_.at(announcement.store)) {
        const bool waits = std::any_of(open.begin(), open.end(), [&](const Open& place) {
            return place.position == position && place.waited_for;
        });
        if (waits) {
            expired.push_back({announcement.store, item, position});
        }
    }
    return expired;
}

std::optional<Announcements::Range> Announcements::range(const StoreId& store,
                                                         const std::string& item) const {
    const auto of_store = items_.find(store);
    if (of_store == items_.end()) {
        return std::nullopt;
    }
    const auto found = of_store->second.find(item);
    return found == of_store->second.end() ? std::nullopt
                                           : std::optional(Range{found->second.front().position,
                                                                 found->second.back().position});
}

size_t Announcements::open_items(const StoreId& store) const {
    const auto found = items_.find(store);
    return found == items_.end() ? 0 : found->second.size();
}

}  // namespace antipode::secondary
