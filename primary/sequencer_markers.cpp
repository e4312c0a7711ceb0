#include <algorithm>

#include "primary/sequencer.hpp"

/// Markers: what the primary can prove of itself, every second.
namespace antipode::primary {

void Sequencer::begin_marker() {
    marker_due_ = clock_.steady_now() + options_.marker_interval;
    PendingMarker marker{clock_.now(), {}};
    forget_times_after(marker.begun_at);
    for (auto& [store, database] : databases_) {
        if (const auto position = wal_position(database)) {
            marker.needed[store] = *position;
        }
    }
    for (auto& [store, lane] : lanes_) {
        drain(lane);
        const ItemLane::Completeness& proof = lane.completeness;
        TimePoint proven = lane.capture().notices_everything() ? marker.begun_at : proof.proven_at;
        if (!proof.proven() || proven > marker.begun_at) {
            continue;
        }
        for (const auto held :
             {lane.oldest_held_removal(), inventory_.withheld(store).happened_after}) {
            proven = std::min(proven, held.value_or(proven));
        }
        lane.completeness.captured_through = std::max(proof.captured_through, proven);
    }
    pending_marker_ = std::move(marker);
}

/// The clock was set back: what was proven up to a time that is yet to come says nothing of what is
/// written until then.
void Sequencer::forget_times_after(TimePoint now) {
    const auto forget = [&](TimePoint& captured_through) {
        captured_through = captured_through > now ? TimePoint{} : captured_through;
    };
    for (auto& [store, database] : databases_) {
        forget(database.captured_through);
    }
    for (auto& [store, lane] : lanes_) {
        forget(lane.completeness.captured_through);
    }
}

void Sequencer::finish_marker_if_proven() {
    if (!pending_marker_) {
        return;
    }
    bool all = true;
    for (auto& [store, database] : databases_) {
        const auto needed = pending_marker_->needed.find(store);
        if (needed != pending_marker_->needed.end() && database.decoded >= needed->second) {
            database.captured_through =
                std::max(database.captured_through, pending_marker_->begun_at);
        } else {
            all = false;
        }
    }
    if (all) {
        emit_marker();
    }
}

uint64_t Sequencer::open_from(const ItemLane& lane) const {
    const uint64_t items = lane.oldest_open().value_or(sealer_.head().number + 1);
    const uint64_t whole = lane.completeness.unsure_since;
    const uint64_t oldest = whole == 0 ? items : std::min(items, whole);
    // What earlier sessions announced was announced again before the first reconcile was said.
    const uint64_t reconciled = lane.completeness.first_reconciled;
    return reconciled != 0 && oldest > reconciled ? oldest : 0;
}

void Sequencer::emit_marker() {
    v1::Payload payload;
    v1::Marker& marker = *payload.mutable_marker();
    marker.set_clock_us(to_microseconds(pending_marker_->begun_at));
    pending_marker_.reset();
    for (const auto& [store, database] : databases_) {
        v1::Marker::Lane& lane = *marker.add_lanes();
        lane.set_store(store.to_string());
        lane.set_head(database.head);
        lane.set_captured_through_us(to_microseconds(database.captured_through));
        lane.set_decoded_through_lsn(database.decoded.value);
        lane.set_last_commit_lsn(database.last_commit.value);
    }
    for (const auto& [store, item_lane] : lanes_) {
        v1::Marker::Lane& lane = *marker.add_lanes();
        lane.set_store(store.to_string());
        lane.set_head(item_lane.completeness.head);
        lane.set_captured_through_us(to_microseconds(item_lane.completeness.captured_through));
        lane.set_open_from(open_from(item_lane));
        if (lane.open_from() != 0) {
            inventory_.settled(store);
        }
    }
    emit(std::nullopt, payload);
}

/// Proves no more than the last one, but names where decoding begins: what is removed from now on
/// must not overtake rows that a lost slot has passed over.
void Sequencer::emit_marker_at_once() {
    const auto awaited = pending_marker_;
    if (!awaited) {
        pending_marker_ = PendingMarker{clock_.now(), {}};
    }
    emit_marker();
    pending_marker_ = awaited;
}

}  // namespace antipode::primary
