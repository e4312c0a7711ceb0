#include "secondary/recovery.hpp"

#include <algorithm>

#include "secondary/causality.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t most_pending = 10'000;

std::optional<TimePoint> known(int64_t microseconds) {
    return microseconds == 0 ? std::nullopt : std::optional(from_microseconds(microseconds));
}

/// Far behind: every other marker says nearly the same.
template <typename Marker>
void thin(std::deque<Marker>& markers) {
    if (markers.size() <= most_pending) {
        return;
    }
    std::deque<Marker> thinned;
    for (size_t i = 1; i < markers.size(); i += 2) {
        thinned.push_back(std::move(markers[i]));
    }
    markers = std::move(thinned);
}

}  // namespace

void RecoveryPoint::add(const v1::Marker& marker, const Position& position, const Position& before,
                        TimePoint received_at) {
    Pending pending{position, before, {}, {}, stores_};
    for (const v1::Marker::Lane& said : marker.lanes()) {
        const auto store = StoreId::parse(said.store());
        if (!store || !stores_.contains(*store)) {
            continue;
        }
        pending.captured[*store] = known(said.captured_through_us());
        pending.commits[*store] = Lsn{said.last_commit_lsn()};
        Lane& lane = lanes_[*store];
        lane.captured_through = pending.captured[*store];
        lane.proven_through = lane.captured_through ? lane.captured_through : lane.proven_through;
        lane.marker_clock = from_microseconds(marker.clock_us());
        lane.marker_received = received_at;
        lane.head = said.head();
        lane.session = position.session;
        lane.decoded_through = Lsn{said.decoded_through_lsn()};
        note_clock(*store, said, lane.marker_clock);
    }
    pending_.push_back(std::move(pending));
    thin(pending_);
    made_.push_back({position, from_microseconds(marker.clock_us())});
    thin(made_);
    if (newest_.position < position) {
        newest_ = {position, from_microseconds(marker.clock_us())};
        if (proven_by_ < position && value_ && newest_.at < *value_) {
            // The clock was set back: that instant is yet to come.
            value_.reset();
        }
    }
}

void RecoveryPoint::note_clock(const StoreId& store, const v1::Marker::Lane& said,
                               TimePoint clock) {
    const auto copied = copied_.find(store);
    if (copied != copied_.end() && copied->second.lsn <= Lsn{said.decoded_through_lsn()}) {
        // A clock that was set back would have it wait for that long.
        copied->second.at = std::min(copied->second.at.value_or(clock), clock);
    }
}

void RecoveryPoint::advance(const std::map<StoreId, Position>& finished,
                            const std::optional<Position>& oldest_exception) {
    for (Pending& marker : pending_) {
        bool any = false;
        for (const auto& [store, position] : finished) {
            if (position < marker.before) {
                continue;
            }
            any = true;
            if (!marker.lanes_to_come.contains(store)) {
                continue;
            }
            Lane& lane = lanes_[store];
            if (lane.reached < marker.position) {
                const Lsn commit = marker.commits[store];
                lane.reached = marker.position;
                lane.reached_commit =
                    marker.captured[store] && commit ? std::optional(commit) : std::nullopt;
            }
            if (lacks_rows(marker, store)) {
                lane.rows_missing_at = marker.position;
                continue;
            }
            lane.rows_missing_at.reset();
            marker.lanes_to_come.erase(store);
            if (marker.captured[store]) {
                lane.applied_through = marker.captured[store];
            }
        }
        if (!any) {
            break;  // no lane is as far as this marker, so none is as far as the later ones
        }
    }
    while (!pending_.empty() && pending_.front().lanes_to_come.empty()) {
        reached(pending_.front(), oldest_exception);
        pending_.pop_front();
    }
    pass_rows();
}

std::optional<Position> RecoveryPoint::rows_are_past() const {
    return std::any_of(stores_.begin(), stores_.end(), is_database) ? std::optional(rows_are_past_)
                                                                    : std::nullopt;
}

void RecoveryPoint::pass_rows() {
    TimePoint rows = TimePoint::max();
    for (const StoreId& store : stores_) {
        if (is_database(store)) {
            const auto lane = lanes_.find(store);
            const auto applied = lane == lanes_.end() ? std::nullopt : lane->second.applied_through;
            rows = std::min(rows, applied.value_or(TimePoint::min()));
        }
    }
    // From the newest on: the primary's clock may have been set back.
    const auto past = std::find_if(made_.rbegin(), made_.rend(),
                                   [&](const Made& marker) { return marker.at <= rows; });
    if (past != made_.rend()) {
        rows_are_past_ = std::max(rows_are_past_, past->position);
        made_.erase(made_.begin(), past.base());
    }
}

std::optional<Lsn> RecoveryPoint::stands_at(const StoreId& database) const {
    const auto applied = applied_.find(database);
    return applied == applied_.end() ? std::nullopt : std::optional(applied->second);
}

bool RecoveryPoint::lacks_rows(const Pending& marker, const StoreId& store) const {
    const auto commit = marker.commits.find(store);
    const auto applied = stands_at(store);
    return commit != marker.commits.end() && applied && *applied < commit->second;
}

/// Of all stores; nullopt: one lane proves nothing, so neither does the whole.
std::optional<TimePoint> RecoveryPoint::least_captured(const Pending& marker) const {
    std::optional<TimePoint> least;
    for (const StoreId& store : stores_) {
        const auto captured = marker.captured.find(store);
        if (captured == marker.captured.end() || !captured->second) {
            return std::nullopt;
        }
        least = least ? std::min(*least, *captured->second) : *captured->second;
    }
    return least;
}

void RecoveryPoint::settle(TimePoint captured) {
    std::erase_if(copied_, [&](const auto& entry) {
        return entry.second.at && *entry.second.at <= captured;
    });
}

void RecoveryPoint::reached(const Pending& marker,
                            const std::optional<Position>& oldest_exception) {
    const auto least = least_captured(marker);
    const bool is_gap = oldest_exception == Position{};
    if (least && !is_gap) {
        settle(*least);
    }
    if (oldest_exception && *oldest_exception < marker.position) {
        return;
    }
    const bool is_over = least && *least <= newest_.at;
    if (is_over && (!value_ || *value_ < *least)) {
        value_ = least;
        proven_by_ = marker.position;
    }
}

}  // namespace antipode::secondary
