#include "secondary/announcements.hpp"

#include <algorithm>

namespace antipode::secondary {

void Announcements::open(const StoreId& store, const Position& announcement,
                         const std::vector<std::string>& items, SteadyTime now) {
    size_t count = 0;
    for (const std::string& item : items) {
        std::vector<Position>& open = items_[store][item];
        if (open.empty() || open.back() < announcement) {
            open.push_back(announcement);
            ++count;
        }
    }
    if (count > 0) {
        announcements_[announcement] = {store, count, now};
    }
}

void Announcements::close(const Position& position, std::vector<Position>& complete) {
    const auto found = announcements_.find(position);
    if (found != announcements_.end() && --found->second.open_items == 0) {
        announcements_.erase(found);
        complete.push_back(position);
    }
}

std::vector<Position> Announcements::fulfil(const StoreId& store, const std::string& item,
                                            const Position& through) {
    std::vector<Position> complete;
    auto& items = items_[store];
    const auto found = items.find(item);
    if (found == items.end()) {
        return complete;
    }
    std::vector<Position>& open = found->second;
    const auto end = std::upper_bound(open.begin(), open.end(), through);
    for (auto position = open.begin(); position != end; ++position) {
        close(*position, complete);
    }
    open.erase(open.begin(), end);
    if (open.empty()) {
        items.erase(found);
    }
    return complete;
}

std::vector<Position> Announcements::fulfil_before_session(const StoreId& store, uint64_t epoch,
                                                           uint64_t session) {
    const Position end{epoch, session, 0};
    std::vector<std::string> affected;
    for (const auto& [item, open] : items_[store]) {
        if (open.front() < end) {
            affected.push_back(item);
        }
    }
    std::vector<Position> complete;
    for (const std::string& item : affected) {
        const auto closed = fulfil(store, item, end);
        complete.insert(complete.end(), closed.begin(), closed.end());
    }
    return complete;
}

std::optional<Position> Announcements::oldest() const {
    return announcements_.empty() ? std::nullopt : std::optional(announcements_.begin()->first);
}

std::vector<Announcements::OpenItem> Announcements::expired(SteadyTime deadline) const {
    std::vector<OpenItem> expired;
    if (announcements_.empty() || announcements_.begin()->second.since > deadline) {
        return expired;
    }
    const auto& [position, announcement] = *announcements_.begin();
    for (const auto& [item, open] : items_.at(announcement.store)) {
        if (open.front() == position) {
            expired.push_back({announcement.store, item, position});
        }
    }
    return expired;
}

size_t Announcements::open_items(const StoreId& store) const {
    const auto found = items_.find(store);
    return found == items_.end() ? 0 : found->second.size();
}

}  // namespace antipode::secondary
