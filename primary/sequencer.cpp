#include "primary/sequencer.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace antipode::primary {
namespace {

constexpr std::chrono::seconds failed_reconcile_retry(2);

std::optional<Sha256> hash_of(const std::optional<protocol::ChainPoint>& point) {
    return point ? std::optional(point->hash) : std::nullopt;
}

}  // namespace

Sequencer::Sequencer(Options options, std::vector<DatabaseCapture*> databases,
                     std::vector<ItemCapture*> items, Inventory& inventory, const Clock& clock,
                     protocol::EventLog* events)
    : options_(std::move(options)),
      inventory_(inventory),
      clock_(clock),
      events_(events),
      sealer_(options_.cluster, options_.epoch, options_.session, hash_of(options_.joins)),
      marker_due_(clock.steady_now()) {
    for (DatabaseCapture* capture : databases) {
        databases_[capture->store()].capture = capture;
    }
    for (ItemCapture* capture : items) {
        lanes_.emplace(capture->store(), ItemLane(*capture));
    }
    v1::Payload payload;
    v1::SessionStart& start = *payload.mutable_session_start();
    start.set_site(options_.site);
    start.set_version(options_.version);
    if (options_.joins) {
        start.set_joins_session(options_.joins->position.session);
        start.set_joins_number(options_.joins->position.number);
    }
    emit(std::nullopt, payload);
}

uint64_t Sequencer::emit(const std::optional<StoreId>& store, const v1::Payload& payload) {
    const TimePoint now = clock_.now();
    auto sealed = sealer_.seal(store, now, payload);
    if (events_ != nullptr) {
        events_->note(sealed.position, store, now, payload);
    }
    const std::string subject = protocol::stream_subject(options_.cluster, options_.epoch, store);
    for (std::string& message : sealed.messages) {
        outbox_.push_back({subject, std::move(message)});
    }
    const uint64_t number = sealed.position.number;
    if (store) {
        if (const auto lane = lanes_.find(*store); lane != lanes_.end()) {
            lane->second.completeness.head = number;
        } else {
            databases_.at(*store).head = number;
        }
    }
    return number;
}

void Sequencer::add(const StoreId& store, std::vector<DatabaseEvent> events) {
    // All of these had committed before they came here: one look covers them together.
    drain_all();
    DatabaseLane& lane = databases_.at(store);
    for (DatabaseEvent& event : events) {
        if (auto* transaction = std::get_if<CapturedTransaction>(&event)) {
            publish_transaction(lane, store, std::move(transaction->transaction));
        } else {
            lane.decoded = std::max(lane.decoded, std::get<DecodedThrough>(event).lsn);
        }
    }
    lane.problem.clear();
    release_removals();
    finish_marker_if_proven();
}

void Sequencer::publish_transaction(DatabaseLane& lane, const StoreId& store,
                                    v1::Transaction transaction) {
    // After a reconnect the slot hands out again what is not confirmed yet.
    if (Lsn{transaction.commit_lsn()} < lane.last_commit) {
        return;
    }
    const bool last = transaction.last();
    const Lsn end{transaction.end_lsn()};
    v1::Payload payload;
    *payload.mutable_transaction() = std::move(transaction);
    emit(store, payload);
    if (last) {
        lane.last_commit = end;
        lane.decoded = std::max(lane.decoded, end);
        ++lane.transactions;
    }
}

void Sequencer::drain_all() {
    for (auto& [store, lane] : lanes_) {
        take_notice(lane, lane.capture().drain());
    }
}

void Sequencer::take_notice(ItemLane& lane, Noticed noticed) {
    if (!noticed.complete) {
        ++lane.completeness.losses;
        lane.completeness.due = clock_.steady_now();
    }
    announce(lane, noticed.changed);
    hold_removals(lane, noticed.removed);
}

void Sequencer::announce(ItemLane& lane, const std::vector<std::string>& items) {
    for (size_t begin = 0; begin < items.size(); begin += limits::announcement_items) {
        const size_t end = std::min(items.size(), begin + limits::announcement_items);
        v1::Payload payload;
        for (size_t i = begin; i < end; ++i) {
            payload.mutable_announcement()->add_items(items[i]);
        }
        const uint64_t number = emit(lane.store(), payload);
        for (size_t i = begin; i < end; ++i) {
            lane.announced(items[i], number);
        }
    }
}

std::optional<Lsn> Sequencer::wal_position(DatabaseLane& lane) {
    try {
        return lane.capture->wal_position();
    } catch (const Error& error) {
        // Expected while the server is away: removals and markers wait for it.
        lane.problem = error.what();
        return std::nullopt;
    }
}

void Sequencer::hold_removals(ItemLane& lane, const std::vector<std::string>& items) {
    if (items.empty()) {
        return;
    }
    for (const std::string& item : items) {
        if (!lane.is_removal_held(item)) {
            lane.hold_removal({item, clock_.now(), {}});
        }
    }
    ask_needs_of_removals();
}

void Sequencer::ask_needs_of_removals() {
    for (auto& [store, database] : databases_) {
        const bool lacking = std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& entry) {
            return entry.second.lacks_need(store);
        });
        if (!lacking) {
            continue;
        }
        if (const auto position = wal_position(database)) {
            for (auto& [item_store, lane] : lanes_) {
                lane.set_missing_needs(store, *position);
            }
        }
    }
}

void Sequencer::release_removals() {
    std::map<StoreId, Lsn> decoded;
    for (const auto& [store, database] : databases_) {
        decoded[store] = database.decoded;
    }
    for (auto& [store, lane] : lanes_) {
        announce(lane, lane.release_removals(decoded));
    }
}

void Sequencer::add(ReadOutcome outcome) {
    if (outcome.task.session != options_.session) {
        return;
    }
    ItemLane& lane = lanes_.at(outcome.task.store);
    const std::string item = outcome.task.item;
    if (!outcome.problem.empty()) {
        lane.reading_failed(item, outcome.problem, outcome.next_step, clock_.steady_now());
    } else if (!outcome.reading) {
        emit_unchanged(lane, item);
    } else if (protocol::is_removal(outcome.reading->payload) && !lane.removal_is_cleared(item)) {
        // It vanished before it could be read. Rows that wait for it must not wait for its removal,
        // which has to come after the rows that stopped naming it.
        emit_unchanged(lane, item);
        hold_removals(lane, {item});
    } else {
        publish_reading(lane, std::move(outcome));
    }
}

void Sequencer::publish_reading(ItemLane& lane, ReadOutcome outcome) {
    const std::string& item = outcome.task.item;
    *protocol::mutable_fulfils(outcome.reading->payload) = lane.fulfils(item);
    const uint64_t number = emit(lane.store(), outcome.reading->payload);
    lane.publishing(item);
    unrecorded_.push_back({lane.store(), item, std::move(outcome.reading->published),
                           Position{options_.epoch, options_.session, number}});
}

void Sequencer::emit_unchanged(ItemLane& lane, const std::string& item) {
    v1::Payload payload;
    payload.mutable_unchanged()->set_item(item);
    *payload.mutable_unchanged()->mutable_fulfils() = lane.fulfils(item);
    emit(lane.store(), payload);
    lane.finished(item);
}

void Sequencer::add(ReconcileOutcome outcome) {
    if (outcome.session != options_.session) {
        return;
    }
    ItemLane& lane = lanes_.at(outcome.store);
    ItemLane::Completeness& state = lane.completeness;
    state.running = false;
    state.problem = outcome.problem;
    state.next_step = outcome.next_step;
    if (!outcome.problem.empty()) {
        state.failed = true;
        state.due = clock_.steady_now() + failed_reconcile_retry;
        return;
    }
    state.failed = false;
    state.reconciled = true;
    state.proven_at = state.started_at;
    state.due = clock_.steady_now() + options_.reconcile_interval;
    if (outcome.noticed.complete) {
        state.losses_mended = state.losses_at_start;
    } else {
        state.due = clock_.steady_now() + failed_reconcile_retry;
    }
    if (state.losses != state.losses_mended) {
        state.due = std::min(state.due, clock_.steady_now() + failed_reconcile_retry);
    }
    outcome.noticed.complete = true;
    take_notice(lane, std::move(outcome.noticed));
    v1::Payload payload;
    payload.mutable_reconciled();
    emit(lane.store(), payload);
}

void Sequencer::add(const v1::Want& want) {
    const auto store = StoreId::parse(want.store());
    if (!store) {
        return;
    }
    if (const auto database = databases_.find(*store); database != databases_.end()) {
        database->second.last_commit = {};
        database->second.capture->restart();
        return;
    }
    const auto lane = lanes_.find(*store);
    if (lane == lanes_.end()) {
        return;
    }
    const std::vector<std::string> items(want.items().begin(), want.items().end());
    for (const std::string& item : items) {
        lane->second.want_whole(item);
    }
    announce(lane->second, items);
}

void Sequencer::look_around() {
    drain_all();
    ask_needs_of_removals();
    release_removals();
    finish_marker_if_proven();
    if (clock_.steady_now() >= marker_due_) {
        if (pending_marker_) {
            emit_marker();  // what could not be proven stays at its older time
        }
        begin_marker();
        finish_marker_if_proven();
    }
}

bool Sequencer::takes_rows() const {
    return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& entry) {
        const ItemLane::Completeness& state = entry.second.completeness;
        // A store that cannot be reconciled holds back the recovery point, not the rows.
        return state.failed || state.proven();
    });
}

std::optional<ReadTask> Sequencer::next_read(const StoreId& store) {
    return lanes_.at(store).next_read(clock_.steady_now(), options_.session);
}

std::vector<StoreId> Sequencer::begin_reconciles() {
    std::vector<StoreId> due;
    for (auto& [store, lane] : lanes_) {
        ItemLane::Completeness& state = lane.completeness;
        if (state.running || clock_.steady_now() < state.due) {
            continue;
        }
        state.running = true;
        state.losses_at_start = state.losses;
        state.started_at = clock_.now();
        due.push_back(store);
    }
    return due;
}

std::deque<OutgoingMessage> Sequencer::take_outgoing() {
    return std::exchange(outbox_, {});
}

void Sequencer::stored() {
    inventory_.record(unrecorded_);
    for (const Inventory::Record& record : unrecorded_) {
        lanes_.at(record.store).finished(record.item);
    }
    unrecorded_.clear();
    for (auto& [store, database] : databases_) {
        database.stored = database.decoded;
    }
}

void Sequencer::begin_marker() {
    marker_due_ = clock_.steady_now() + options_.marker_interval;
    PendingMarker marker{clock_.now(), {}};
    for (auto& [store, database] : databases_) {
        if (const auto position = wal_position(database)) {
            marker.needed[store] = *position;
        }
    }
    for (auto& [store, lane] : lanes_) {
        take_notice(lane, lane.capture().drain());
        ItemLane::Completeness& state = lane.completeness;
        if (!state.proven()) {
            continue;
        }
        TimePoint proven = lane.capture().notices_everything() ? marker.begun_at : state.proven_at;
        if (const auto held = lane.oldest_held_removal()) {
            proven = std::min(proven, *held);
        }
        state.captured_through = std::max(state.captured_through, proven);
    }
    pending_marker_ = std::move(marker);
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
    }
    emit(std::nullopt, payload);
}

}  // namespace antipode::primary
