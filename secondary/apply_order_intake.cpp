#include <algorithm>

#include "secondary/apply_order.hpp"
#include "secondary/causality.hpp"

/// What comes in: events find their lanes, announcements open and close what rows wait for.
namespace antipode::secondary {
namespace {

/// What may have to wait for events that come later must not keep them from coming.
bool counts_for_room(const v1::Payload& payload) {
    return !payload.has_announcement() && !protocol::is_removal(payload);
}

}  // namespace

void ApplyOrder::accept(protocol::Event event, size_t bytes) {
    take_in(std::move(event), bytes);
    if (!read_again_to_.is_origin() && accepted_ >= read_again_to_) {
        read_again_to_ = {};
        for (auto& [store, lane] : lanes_) {
            lane.read_again_from.reset();
        }
    }
}

void ApplyOrder::take_in(protocol::Event event, size_t bytes) {
    const Position before = std::exchange(accepted_, event.position);
    if (!event.store) {
        accept_control(event, before);
        return;
    }
    const auto found = lanes_.find(*event.store);
    if (found == lanes_.end() ||
        event.position <= std::max(found->second.begun, found->second.seen)) {
        return;
    }
    Lane& lane = found->second;
    lane.seen = event.position;
    // What is held is decompressed.
    bytes = std::max(bytes, event.payload.ByteSizeLong());
    if (is_database(lane.store)) {
        if (!lane.copying && !lane.skipped_from && must_skip(lane, event.position, bytes)) {
            lane.skipped_from = event.position;
            lane.skipped_before = before;
        }
        if (lane.copying || lane.skipped_from) {
            return;
        }
    }
    Pending pending{std::move(event), before, 0, {}, false};
    const v1::Payload& payload = pending.event.payload;
    pending.is_removal = protocol::is_removal(payload);
    if (counts_for_room(payload)) {
        pending.bytes = std::max<size_t>(bytes, 1);
        lane.bytes += pending.bytes;
        ++lane.events;
    }
    const Position position = pending.event.position;
    Pending& queued = lane.queue.emplace(position, std::move(pending)).first->second;
    if (!is_database(lane.store)) {
        accept_item_event(lane, queued);
    }
}

bool ApplyOrder::must_skip(const Lane& lane, const Position& position, size_t bytes) const {
    const bool half_full =
        lane.bytes + bytes > options_.lane_bytes / 2 || lane.events >= options_.lane_events / 2;
    if (!half_full) {
        return false;
    }
    // What this transaction waits for may stand behind it in the stream: let it come.
    const auto barrier = rows_barrier();
    return barrier && *barrier <= position;
}

void ApplyOrder::accept_control(const protocol::Event& event, const Position& before) {
    if (!event.payload.has_marker() || event.position <= marker_seen_) {
        return;
    }
    marker_seen_ = event.position;
    for (const v1::Marker::Lane& said : event.payload.marker().lanes()) {
        look_at_marker(said, event.position);
    }
    recovery_.add(event.payload.marker(), event.position, before, clock_.now());
    release_removals();
}

void ApplyOrder::look_at_marker(const v1::Marker::Lane& said, const Position& marker) {
    const auto store = StoreId::parse(said.store());
    const auto lane = store ? lanes_.find(*store) : lanes_.end();
    if (lane != lanes_.end() && is_database(*store)) {
        lane->second.named_commit = Lsn{said.last_commit_lsn()};
    }
    if (lane == lanes_.end() || said.open_from() == 0) {
        return;
    }
    const Position open_from{marker.epoch, marker.session, said.open_from()};
    const auto gap = registry_.gap(*store);
    if (!gap) {
        registry_.mend_whole_store(*store, open_from, marker);
        return;
    }
    if (open_from > gap->at && lane->second.passed_gap != gap->at) {
        lane->second.passed_gap = gap->at;
        lane->second.passed_by = marker;
    }
    // An event that is neither here nor to come was lost in the gap; rows wait for that now.
    const auto lost =
        announcements_.give_up_lost(*store, open_from, [&](const std::string& item, bool removals) {
            return fulfilled_by_coming(lane->second, item, removals);
        });
    if (lost.oldest) {
        let_rows_wait_for_lost(*store, *lost.oldest);
    }
    close(lane->second, lost.complete);
    // So may have been a reconcile; what it found came before this marker.
    const auto whole = announcements_.range(*store, protocol::whole_store);
    if (whole && whole->newest < open_from && add_found(lane->second, marker, whole->newest)) {
        registry_.let_rows_wait_from(*store, whole->oldest);
    }
    fulfil_found(lane->second);
}

bool ApplyOrder::has_passed(const StoreId& store, const Position& gap) const {
    const Lane& lane = lanes_.at(store);
    if (lane.passed_gap != gap) {
        return false;
    }
    return !has_changes_before(lane, lane.passed_by);
}

bool ApplyOrder::brings_rows_before(const StoreId& database, const Position& gap) const {
    const Lane& lane = lanes_.at(database);
    if (!lane.queue.empty()) {
        return lane.queue.begin()->first < gap && !lacks_rows(lane);
    }
    return accepted_ < gap || lane.skipped_from || lane.read_again_from;
}

bool ApplyOrder::have_rows_passed_gap() const {
    return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
        const auto gap = is_database(lane.first) ? std::nullopt : registry_.gap(lane.first);
        return gap && gap->rows_came;
    });
}

void ApplyOrder::let_rows_pass_gap(const StoreId& store) {
    const auto gap = is_database(store) ? std::nullopt : registry_.gap(store);
    if (!gap || !gap->rows_wait || clock_.now() - gap->since < options_.max_hold) {
        return;
    }
    Exception exception;
    exception.store = store;
    exception.item = protocol::whole_store;
    exception.kind = ExceptionKind::Expired;
    exception.reason = "rows waited longer than max_hold for what a gap may hide";
    exception.next_step =
        "antipode status: the gap is mended once the primary can be compared with";
    exception.position = gap->rows_from;
    exception.since = clock_.now();
    exception.tries = 1;
    exception.next_try = clock_.now();
    registry_.add_exception(exception);
    registry_.let_rows_pass(store, gap->at);
}

void ApplyOrder::let_rows_wait_for_lost(const StoreId& store, const Position& oldest) {
    // Where the whole store was announced, rows may name what a reconcile announced behind them.
    const auto whole = announcements_.range(store, protocol::whole_store);
    registry_.let_rows_wait_from(store, whole ? std::min(whole->oldest, oldest) : oldest);
}

void ApplyOrder::accept_announcement(Lane& lane, Pending& pending) {
    const Position position = pending.event.position;
    const v1::Announcement& announcement = pending.event.payload.announcement();
    announcements_.open(lane.store, position,
                        {announcement.items().begin(), announcement.items().end()},
                        announcement.removals(), clock_.steady_now());
    if (announcement.items().empty()) {
        done(lane, position);
    } else {
        pending.is_announcement = true;
        pending.is_whole = announcement.items(0) == protocol::whole_store;
        pending.event.payload.Clear();  // the names are kept once
    }
}

Position ApplyOrder::fulfilled_by_coming(const Lane& lane, const std::string& item,
                                         bool removals) const {
    Position through;
    if (const auto found = lane.by_item.find(item); found != lane.by_item.end()) {
        for (const Pending* pending : found->second) {
            if (removals || !pending->is_removal) {
                through = std::max(through, fulfilled_through(pending->event));
            }
        }
    }
    return through;
}

bool ApplyOrder::add_found(Lane& lane, const Position& before, const Position& through) {
    const bool news = lane.found.empty() || lane.found.back().through < through;
    if (news) {
        lane.found.push_back({before, through});
    }
    return news;
}

void ApplyOrder::fulfil_found(Lane& lane) {
    while (!lane.found.empty() && !has_changes_before(lane, lane.found.front().before)) {
        const Position through = lane.found.front().through;
        lane.found.pop_front();
        close(lane, announcements_.fulfil(lane.store, protocol::whole_store, through));
    }
}

bool ApplyOrder::has_changes_before(const Lane& lane, const Position& end) const {
    // Removals may wait for rows, which wait for this.
    const auto found = std::find_if(lane.queue.begin(), lane.queue.end(), [&](const auto& entry) {
        const Pending& pending = entry.second;
        const bool is_change = pending.is_announcement
                                   ? announcements_.is_waited_for(lane.store, entry.first)
                                   : !pending.is_removal;
        return entry.first >= end || (is_change && !pending.is_whole);
    });
    return found != lane.queue.end() && found->first < end;
}

void ApplyOrder::accept_item_event(Lane& lane, Pending& pending) {
    const v1::Payload& payload = pending.event.payload;
    if (payload.has_announcement()) {
        accept_announcement(lane, pending);
        return;
    }
    if (payload.has_reconciled()) {
        const Position position = pending.event.position;
        const auto lost = announcements_.fulfil_before_session(
            lane.store, position.epoch, position.session,
            [&](const std::string& item, bool removals) {
                return fulfilled_by_coming(lane, item, removals);
            });
        if (lost.oldest && registry_.gap(lane.store)) {
            // The primary published it; that event may be what is missing.
            let_rows_wait_for_lost(lane.store, *lost.oldest);
        }
        close(lane, lost.complete);
        // What it found is announced behind rows that may name it: they wait for that, too.
        add_found(lane, position, fulfilled_through(pending.event));
        done(lane, position);
        fulfil_found(lane);
        return;
    }
    if (payload.has_unreadable() && payload.unreadable().item() == protocol::whole_store) {
        registry_.add_exception(
            park(lane, pending.event, Result::unreadable(payload.unreadable())));
        fulfil(lane, protocol::whole_store, pending.event);
        done(lane, Position(pending.event.position));
        return;
    }
    const std::string* named = protocol::item_of(payload);
    if (named == nullptr) {
        // It stays where it is and holds the lane: an event is never skipped.
        lane.problem = "event " + pending.event.position.to_string() +
                       " is of a kind that this version does not know; upgrade this site";
        return;
    }
    const std::string item = *named;  // the event may be done with before this returns
    note_copy(lane, pending.event);
    auto& events = lane.by_item[item];
    events.push_back(&pending);
    if (events.size() == 1 ||
        lane.blocked_removals.erase({order_of(events.front()->event), item}) > 0) {
        run_next(lane, item);
    }
}

}  // namespace antipode::secondary
