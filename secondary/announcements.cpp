#include "secondary/announcements.hpp"

#include <algorithm>

namespace antipode::secondary {

void Announcements::open(const StoreId& store, const Position& announcement,
                         const std::vector<std::string>& items, bool removals, SteadyTime now) {
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
        if (!removals) {
            waited_for_.insert(announcement);
        }
    }
}

void Announcements::close(const Position& position, std::vector<Position>& complete) {
    const auto found = announcements_.find(position);
    if (found != announcements_.end() && --found->second.open_items == 0) {
        announcements_.erase(found);
        waited_for_.erase(position);
        complete.push_back(position);
    }
}

std::vector<Position> Announcements::fulfil(const StoreId& store, const std::string& item,
                                            const Position& through, bool removal_follows) {
    std::vector<Position> complete;
    auto& items = items_[store];
    const auto found = items.find(item);
    if (found == items.end()) {
        return complete;
    }
    std::vector<Position>& open = found->second;
    std::erase_if(open, [&](const Position& position) {
        const bool fulfilled =
            position <= through && (!removal_follows || waited_for_.contains(position));
        if (fulfilled) {
            close(position, complete);
        }
        return fulfilled;
    });
    if (open.empty()) {
        items.erase(found);
    }
    return complete;
}

std::vector<Position> Announcements::fulfil_where(
    const StoreId& store, const Position& end,
    const std::function<bool(const std::string&, const std::vector<Position>&)>& which) {
    std::vector<std::string> affected;
    for (const auto& [item, open] : items_[store]) {
        if (open.front() < end && which(item, open)) {
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

std::vector<Position> Announcements::fulfil_before_session(const StoreId& store, uint64_t epoch,
                                                           uint64_t session) {
    const Position end{epoch, session, 0};
    return fulfil_where(store, end, [&](const std::string&, const std::vector<Position>& open) {
        return open.back() < end;
    });
}

std::vector<Position> Announcements::fulfil_lost(
    const StoreId& store, const Position& end,
    const std::function<bool(const std::string&)>& is_coming) {
    return fulfil_where(store, end,
                        [&](const std::string& item, const std::vector<Position>& open) {
                            return open.back() < end && !is_coming(item);
                        });
}

std::optional<Position> Announcements::oldest() const {
    return waited_for_.empty() ? std::nullopt : std::optional(*waited_for_.begin());
}

std::vector<Announcements::OpenItem> Announcements::expired(SteadyTime deadline) const {
    std::vector<OpenItem> expired;
    if (waited_for_.empty()) {
        return expired;
    }
    const Position position = *waited_for_.begin();
    const Announcement& announcement = announcements_.at(position);
    if (announcement.since > deadline) {
        return expired;
    }
    for (const auto& [item, open] : items_.at(announcement.store)) {
        if (std::binary_search(open.begin(), open.end(), position)) {
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
