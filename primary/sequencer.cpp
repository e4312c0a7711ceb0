#include "primary/sequencer.hpp"

#include <algorithm>

#include "base/limits.hpp"

namespace antipode::primary {
namespace {

constexpr std::chrono::seconds failed_reconcile_retry(2);
/// A reconcile takes up to an eighth of a percent of the time, with up to so many intervals
/// between.
constexpr int rest_per_reconcile = 800;
constexpr int most_intervals = 6;

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
      stored_through_(options_.joins ? options_.joins->position : Position{}),
      marker_due_(clock.steady_now()) {
    for (DatabaseCapture* capture : databases) {
        databases_[capture->store()].capture = capture;
    }
    for (ItemCapture* capture : items) {
        const auto limits = options_.deletion_limits.find(capture->store());
        lanes_.emplace(
            capture->store(),
            ItemLane(*capture, inventory_,
                     limits == options_.deletion_limits.end() ? DeletionLimits{} : limits->second));
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
    for (auto& [store, lane] : lanes_) {
        announce_whole(lane);
    }
}

uint64_t Sequencer::emit(const std::optional<StoreId>& store, const v1::Payload& payload) {
    const TimePoint now = clock_.now();
    const Position position = sealer_.add(store, now, payload);
    if (events_ != nullptr) {
        events_->note(position, store, now, payload);
    }
    const uint64_t number = position.number;
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
    DatabaseLane& lane = databases_.at(store);
    lane.problem.clear();
    lane.next_step.clear();
    // All of it had committed before this: one look covers it together.
    drain_all();
    bool begins_anew = false;
    for (DatabaseEvent& event : events) {
        if (auto* transaction = std::get_if<CapturedTransaction>(&event)) {
            publish_transaction(lane, store, std::move(transaction->transaction));
        } else if (const auto* begins = std::get_if<DecodingBegins>(&event)) {
            lane.last_commit = std::max(lane.last_commit, begins->lsn);
            begins_anew = true;
        } else {
            lane.decoded = std::max(lane.decoded, std::get<DecodedThrough>(event).lsn);
        }
    }
    if (begins_anew) {
        emit_marker_at_once();
    }
    release_removals();
    finish_marker_if_proven();
}

void Sequencer::publish_transaction(DatabaseLane& lane, const StoreId& store,
                                    v1::Transaction transaction) {
    if (Lsn{transaction.commit_lsn()} < lane.repeated_below) {
        return;
    }
    const bool last = transaction.last();
    // A barrier or a state of sequences is ours, not the application's.
    const bool changes = transaction.change_count() > 0 || transaction.statements_size() > 0;
    const int count = std::max(1, transaction.members_size());
    const Lsn end{transaction.end_lsn()};
    v1::Payload payload;
    *payload.mutable_transaction() = std::move(transaction);
    emit(store, payload);
    if (changes || payload.transaction().part() > 0) {
        // Only the end is the same however it is handed out.
        const Lsn commit{payload.transaction().commit_lsn()};
        lane.last_change = std::max(lane.last_change, last ? end : commit);
    }
    if (last) {
        lane.repeated_below = end;
        lane.last_commit = std::max(lane.last_commit, end);
        lane.decoded = std::max(lane.decoded, end);
        lane.transactions += static_cast<uint64_t>(count);
    }
}

void Sequencer::drain_all() {
    for (auto& [store, lane] : lanes_) {
        drain(lane);
    }
}

void Sequencer::drain(ItemLane& lane) {
    ItemLane::Completeness& state = lane.completeness;
    const TimePoint begun_at = clock_.now();
    const Noticed noticed = lane.capture().drain();
    // What is noticed only now happened after the last look.
    take_notice(lane, noticed, true, begun_at, state.drained_at);
    if (noticed.complete) {
        state.drained_at = begun_at;
    } else {
        ++state.losses;
        state.due = clock_.steady_now();
        lane.forget_needs();
        ask_needs_of_removals();
        announce_whole(lane);
    }
}

void Sequencer::announce_whole(ItemLane& lane) {
    if (lane.completeness.unsure_since == 0) {
        v1::Payload payload;
        payload.mutable_announcement()->add_items(protocol::whole_store);
        lane.completeness.unsure_since = emit(lane.store(), payload);
    }
}

void Sequencer::take_notice(ItemLane& lane, const Noticed& noticed, bool anew, TimePoint now,
                            TimePoint happened_after) {
    announce(lane, noticed.changed, false);
    for (const std::string& item : noticed.moved) {
        if (lane.deletions().may_go(item)) {
            lane.hold_removal({item, happened_after, false, {}}, anew);
        }
    }
    if (noticed.removed.empty() && noticed.moved.empty()) {
        return;
    }
    // What waits already is not deleted once more.
    std::vector<std::string> fresh;
    for (const std::string& item : noticed.removed) {
        if (lane.holds_removal(item)) {
            lane.hold_removal({item, happened_after, false, {}}, anew);
        } else {
            fresh.push_back(item);
        }
    }
    DeletionGuard::Verdict verdict =
        lane.deletions().judge(fresh, noticed.emptied, now, happened_after);
    if (verdict.storm) {
        std::vector<Inventory::Withheld> before;
        for (ItemLane::HeldRemoval& removal : lane.withdraw_removals()) {
            before.push_back({std::move(removal.item), removal.happened_after});
        }
        lane.deletions().withhold(std::move(before), now);
    }
    for (std::string& item : verdict.allowed) {
        lane.hold_removal({std::move(item), happened_after, false, {}});
    }
    ask_needs_of_removals();
}

/// Whether a removal that was found on its way may be published.
bool Sequencer::may_be_deleted(ItemLane& lane, const std::string& item) {
    const TimePoint seen = lane.completeness.drained_at;
    return !lane.deletions().judge({item}, false, seen, seen).allowed.empty();
}

void Sequencer::release_deletions(const StoreId& store) {
    const auto lane = lanes_.find(store);
    if (lane == lanes_.end()) {
        return;
    }
    inventory_.for_each_withheld(
        store, Inventory::Decision::Released, [&](const Inventory::Withheld& withheld) {
            lane->second.hold_removal({withheld.item, withheld.happened_after, false, {}});
            return true;
        });
    ask_needs_of_removals();
    release_removals();
}

void Sequencer::announce(ItemLane& lane, const std::vector<std::string>& items, bool removals) {
    for (size_t begin = 0; begin < items.size(); begin += limits::announcement_items) {
        const size_t end = std::min(items.size(), begin + limits::announcement_items);
        v1::Payload payload;
        payload.mutable_announcement()->set_removals(removals);
        for (size_t i = begin; i < end; ++i) {
            payload.mutable_announcement()->add_items(items[i]);
        }
        const uint64_t number = emit(lane.store(), payload);
        for (size_t i = begin; i < end; ++i) {
            if (removals) {
                lane.removal_announced(items[i], number);
            } else {
                lane.announced(items[i], number);
            }
        }
    }
}

/// As changed, but for those that are to be read anyway.
void Sequencer::announce_unread(ItemLane& lane, const std::vector<std::string>& items) {
    std::vector<std::string> unannounced;
    std::copy_if(items.begin(), items.end(), std::back_inserter(unannounced),
                 [&](const std::string& item) { return !lane.is_to_be_read(item); });
    announce(lane, unannounced, false);
}

std::optional<Lsn> Sequencer::wal_position(DatabaseLane& lane) {
    try {
        return lane.capture->wal_position();
    } catch (const Error& error) {
        // Expected while the server is away: removals and markers wait for it.
        lane.problem = error.what();
        lane.next_step = error.next_step();
        return std::nullopt;
    }
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
        // Before the first reconcile has ended, rows of an earlier session may still wait for what
        // was announced then of the same item; a removal must not take that place.
        if (lane.completeness.reconciled) {
            announce(lane, lane.release_removals(decoded), true);
        }
        const auto behind = lane.completeness.say_reconciled_behind;
        if (behind && lane.removals_released() >= *behind) {
            say_reconciled(lane);
        }
    }
}

void Sequencer::say_reconciled(ItemLane& lane) {
    ItemLane::Completeness& state = lane.completeness;
    v1::Payload payload;
    v1::Reconciled& reconciled = *payload.mutable_reconciled();
    if (state.all_announced() && state.unsure_since != 0) {
        reconciled.mutable_fulfils()->set_first(state.unsure_since);
        reconciled.mutable_fulfils()->set_through(state.unsure_since);
        state.unsure_since = 0;
        state.said_unreadable = false;
    }
    const uint64_t number = emit(lane.store(), payload);
    state.first_reconciled = state.first_reconciled == 0 ? number : state.first_reconciled;
    state.say_reconciled_behind.reset();
}

void Sequencer::say_unreadable(ItemLane& lane, const std::string& item, const v1::Fulfils& fulfils,
                               const std::string& reason, const std::string& next_step) {
    v1::Payload payload;
    v1::Unreadable& unreadable = *payload.mutable_unreadable();
    unreadable.set_item(item);
    *unreadable.mutable_fulfils() = fulfils;
    unreadable.set_reason(reason);
    unreadable.set_next_step(next_step);
    emit(lane.store(), payload);
}

void Sequencer::look_at_failing(ItemLane& lane) {
    ItemLane::Completeness& state = lane.completeness;
    if (!state.failing_since || state.unsure_since == 0 || state.said_unreadable ||
        clock_.steady_now() - *state.failing_since < options_.reconcile_grace) {
        return;
    }
    v1::Fulfils fulfils;
    fulfils.set_first(state.unsure_since);
    fulfils.set_through(state.unsure_since);
    say_unreadable(lane, protocol::whole_store, fulfils, state.problem, state.next_step);
    state.said_unreadable = true;
}

void Sequencer::add(ReadOutcome outcome) {
    if (outcome.task.session != options_.session) {
        return;
    }
    ItemLane& lane = lanes_.at(outcome.task.store);
    const std::string item = outcome.task.item;
    if (!outcome.problem.empty()) {
        reading_failed(lane, outcome);
    } else if (!outcome.reading) {
        emit_unchanged(lane, item, false);
        lane.finished(item);
        inventory_.forget_withheld(lane.store(), {&item, 1});
    } else if (protocol::is_removal(outcome.reading->payload) && !removal_is_cleared(lane, item)) {
        // It vanished before it could be read. Rows that wait for it must not wait for its removal,
        // which has to come after the rows that stopped naming it.
        const bool whole = lane.was_read_whole(item);
        if (lane.removal_is_announced_since(item)) {
            emit_unchanged(lane, item, true);
            lane.removal_follows(item);
        } else if (may_be_deleted(lane, item)) {
            lane.hold_removal({item, lane.completeness.drained_at, whole, {}});
            emit_unchanged(lane, item, true);
            lane.removal_follows(item);
        } else if (whole) {
            say_unreadable(lane, item, lane.fulfils(item),
                           "it is gone on the primary, where its deletion is held",
                           "antipode deletions");
        } else {
            emit_unchanged(lane, item, true);
        }
        lane.finished(item);
        ask_needs_of_removals();
    } else {
        publish_reading(lane, std::move(outcome));
    }
}

bool Sequencer::removal_is_cleared(ItemLane& lane, const std::string& item) {
    // It may have come back and gone again since its removal was announced.
    drain(lane);
    return lane.removal_is_cleared(item);
}

void Sequencer::reading_failed(ItemLane& lane, const ReadOutcome& outcome) {
    const std::string& item = outcome.task.item;
    lane.reading_failed(item, outcome.problem, outcome.next_step, clock_.steady_now());
    if (lane.is_unreadable(item)) {
        say_unreadable(lane, item, lane.fulfils(item), outcome.problem, outcome.next_step);
        lane.said_unreadable(item);
    }
}

void Sequencer::publish_reading(ItemLane& lane, ReadOutcome outcome) {
    const std::string& item = outcome.task.item;
    v1::Fulfils fulfils = lane.fulfils(item);
    if (protocol::is_removal(outcome.reading->payload)) {
        if (!lane.only_removals_announced(item)) {
            // It was also announced as changed. Rows that wait for that must not wait for the
            // removal, which waits for them.
            emit_unchanged(lane, item, true);
        }
        fulfils.set_first(lane.removal_announcement(item));
    } else if (lane.only_removals_announced(item)) {
        // It came back. Rows behind this may name it as it is, and wait for changes alone.
        v1::Payload payload;
        payload.mutable_announcement()->add_items(item);
        fulfils.set_through(emit(lane.store(), payload));
    }
    *protocol::mutable_fulfils(outcome.reading->payload) = fulfils;
    const uint64_t number = emit(lane.store(), outcome.reading->payload);
    lane.publishing(item);
    unrecorded_.push_back({lane.store(), item, std::move(outcome.reading->published),
                           Position{options_.epoch, options_.session, number}});
}

void Sequencer::emit_unchanged(ItemLane& lane, const std::string& item, bool removal_follows) {
    v1::Payload payload;
    payload.mutable_unchanged()->set_item(item);
    *payload.mutable_unchanged()->mutable_fulfils() = lane.fulfils(item);
    payload.mutable_unchanged()->set_removal_follows(removal_follows);
    const auto published = inventory_.find(lane.store(), item);
    if (published && !removal_follows) {
        payload.mutable_unchanged()->set_digest_algorithm(published->digest.algorithm);
        payload.mutable_unchanged()->set_digest(published->digest.value);
    }
    emit(lane.store(), payload);
}

void Sequencer::add(ReconcileOutcome outcome) {
    if (outcome.session != options_.session) {
        return;
    }
    ItemLane& lane = lanes_.at(outcome.store);
    ItemLane::Completeness& state = lane.completeness;
    state.running = false;
    if (!outcome.problem.empty()) {
        reconcile_failed(lane, outcome.problem, outcome.next_step);
        return;
    }
    take_notice(lane, outcome.noticed, false, state.drained_at, state.proven_at);
    announce_unread(lane, std::exchange(state.in_flight_at_start, {}));
    if (!outcome.noticed.complete) {
        reconcile_failed(lane, "a part of the store could not be looked at", {});
        return;
    }
    const bool released =
        lane.deletions().compared(outcome.noticed, state.started_at, state.drained_at);
    state.problem.clear();
    state.next_step.clear();
    state.failing_since.reset();
    state.reconciled = true;
    state.proven_at = state.started_at;
    state.steady_proven_at = state.steady_started_at;
    state.losses_mended = state.losses_at_start;
    const SteadyTime now = clock_.steady_now();
    state.due = now + (state.losses == state.losses_mended ? rest_behind_reconcile(lane, now)
                                                           : failed_reconcile_retry);
    if (state.asked) {
        state.due = now;
    }
    if (released) {
        release_deletions(outcome.store);
    }
    // What it found to be gone is announced later; only then is all of it announced.
    state.say_reconciled_behind = lane.removals_held();
    release_removals();
}

/// Where changes are noticed by themselves, a million files that rest must not cost a walk of all
/// of them each time.
SteadyTime::duration Sequencer::rest_behind_reconcile(ItemLane& lane, SteadyTime now) const {
    const SteadyTime::duration interval = options_.reconcile_interval;
    if (!lane.capture().notices_everything()) {
        return interval;
    }
    const auto took = now - lane.completeness.steady_started_at;
    return std::clamp(took * rest_per_reconcile, interval, interval * most_intervals);
}

void Sequencer::reconcile_failed(ItemLane& lane, const std::string& problem,
                                 const std::string& next_step) {
    ItemLane::Completeness& state = lane.completeness;
    const SteadyTime now = clock_.steady_now();
    state.problem = problem;
    state.next_step = next_step;
    state.failing_since = state.failing_since.value_or(now);
    state.due = now + failed_reconcile_retry;
}

std::optional<StoreId> Sequencer::add(const v1::Want& want) {
    const auto store = StoreId::parse(want.store());
    if (!store) {
        return std::nullopt;
    }
    if (const auto database = databases_.find(*store); database != databases_.end()) {
        // What the site lacks gets new numbers. The newest commit stays: it has to reach that.
        database->second.repeated_below = {};
        return store;
    }
    const auto lane = lanes_.find(*store);
    if (lane == lanes_.end()) {
        return std::nullopt;
    }
    std::vector<std::string> items(want.items().begin(), want.items().end());
    lane->second.capture().put_in_order(items);
    for (const std::string& item : items) {
        lane->second.want_whole(item);
    }
    announce(lane->second, items, false);
    return std::nullopt;
}

uint64_t Sequencer::notified(const StoreId& store, const std::vector<std::string>& items) {
    ItemLane& lane = lanes_.at(store);
    drain(lane);
    announce_unread(lane, items);
    return head().number;
}

void Sequencer::look_around() {
    ask_needs_of_removals();
    drain_all();
    release_removals();
    finish_marker_if_proven();
    for (auto& [store, lane] : lanes_) {
        look_at_failing(lane);
    }
    if (clock_.steady_now() >= marker_due_) {
        if (pending_marker_) {
            emit_marker();  // what could not be proven stays at its older time
        }
        begin_marker();
        finish_marker_if_proven();
    }
}

bool Sequencer::is_at_rest() const {
    return !pending_marker_ && std::all_of(lanes_.begin(), lanes_.end(), [](const auto& entry) {
        const ItemLane& lane = entry.second;
        return lane.unfinished() == 0 && lane.completeness.reconciled &&
               !lane.completeness.failing_since;
    });
}

std::optional<ReadTask> Sequencer::next_read(const StoreId& store) {
    return lanes_.at(store).next_read(clock_.steady_now(), options_.session);
}

size_t Sequencer::ready_reads(const StoreId& store) const {
    return lanes_.at(store).ready_reads();
}

void Sequencer::reconcile_now() {
    for (auto& [store, lane] : lanes_) {
        lane.completeness.asked = true;
        lane.completeness.due = clock_.steady_now();
    }
}

std::vector<StoreId> Sequencer::begin_reconciles() {
    std::vector<StoreId> due;
    for (auto& [store, lane] : lanes_) {
        ItemLane::Completeness& state = lane.completeness;
        if (state.running) {
            continue;
        }
        const SteadyTime now = clock_.steady_now();
        if (now < state.due) {
            continue;
        }
        state.running = true;
        state.asked = false;
        state.losses_at_start = state.losses;
        state.in_flight_at_start = lane.in_flight();
        state.started_at = clock_.now();
        state.steady_started_at = now;
        due.push_back(store);
    }
    return due;
}

std::deque<OutgoingMessage> Sequencer::take_outgoing() {
    taken_through_ = head();
    std::deque<OutgoingMessage> outgoing;
    for (protocol::Sealer::Sealed& sealed : sealer_.take()) {
        outgoing.push_back(
            {protocol::stream_subject(options_.cluster, options_.epoch, sealed.store),
             std::move(sealed.bytes)});
    }
    return outgoing;
}

void Sequencer::stored() {
    inventory_.record(unrecorded_);
    for (const Inventory::Record& record : unrecorded_) {
        lanes_.at(record.store).finished(record.item);
    }
    unrecorded_.clear();
    stored_through_ = taken_through_;
    for (auto& [store, database] : databases_) {
        database.stored = database.decoded;
    }
}

}  // namespace antipode::primary
