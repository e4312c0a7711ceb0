#include "secondary/apply_order.hpp"

#include <algorithm>

#include "base/backoff.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::milliseconds first_retry(1000);
constexpr std::chrono::milliseconds slowest_retry(300'000);

bool is_database(const StoreId& store) {
    return store.kind == StoreKind::Database;
}

Position in_session_of(const protocol::Event& event, uint64_t number) {
    return {event.position.epoch, event.position.session, number};
}

/// Where an event stands for causality: the oldest announcement that it fulfils.
Position order_of(const protocol::Event& event) {
    const v1::Fulfils* fulfils = protocol::fulfils(event.payload);
    return fulfils == nullptr || fulfils->first() == 0 ? event.position
                                                       : in_session_of(event, fulfils->first());
}

}  // namespace

ApplyOrder::ApplyOrder(Options options, const std::vector<StoreId>& stores, Registry& registry,
                       ExpectedDigest expected_digest, const Clock& clock)
    : options_(options),
      registry_(registry),
      expected_digest_(std::move(expected_digest)),
      clock_(clock),
      recovery_(std::set<StoreId>(stores.begin(), stores.end())) {
    for (const StoreId& store : stores) {
        lanes_[store].store = store;
    }
}

void ApplyOrder::begin(const std::map<StoreId, Position>& finished) {
    announcements_ = Announcements();
    recovery_.read_again();
    accepted_ = {};
    for (auto& [store, lane] : lanes_) {
        Lane fresh;
        fresh.store = store;
        fresh.copying = lane.copying;
        fresh.applied = lane.applied;
        fresh.verified = lane.verified;
        fresh.mismatches = lane.mismatches;
        if (const auto position = finished.find(store); position != finished.end()) {
            fresh.begun = position->second;
        }
        lane = std::move(fresh);
    }
}

void ApplyOrder::set_copying(const StoreId& store, bool copying) {
    Lane& lane = lane_of(store);
    if (lane.copying && !copying) {
        lane.rewind = true;
    }
    lane.copying = copying;
}

bool ApplyOrder::has_room() const {
    return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& entry) {
        const Lane& lane = entry.second;
        return lane.bytes < options_.lane_bytes && lane.queue.size() < options_.lane_events;
    });
}

void ApplyOrder::accept(protocol::Event event, size_t bytes) {
    const Position before = std::exchange(accepted_, event.position);
    if (!event.store) {
        accept_control(event, before);
        return;
    }
    const auto found = lanes_.find(*event.store);
    if (found == lanes_.end() || event.position <= found->second.begun) {
        return;
    }
    Lane& lane = found->second;
    if (is_database(lane.store)) {
        const bool gated = announcements_.oldest() && options_.causal;
        if (!lane.copying && !lane.skipped_from && gated &&
            lane.bytes + bytes > options_.lane_bytes / 2) {
            // What these transactions wait for may stand behind them in the stream: let it come.
            lane.skipped_from = event.position;
            lane.skipped_before = before;
        }
        if (lane.copying || lane.skipped_from) {
            return;
        }
    }
    lane.queue.push_back({std::move(event), before, bytes, State::Waiting});
    lane.bytes += bytes;
    if (!is_database(lane.store)) {
        accept_item_event(lane, lane.queue.back());
    }
}

void ApplyOrder::accept_control(const protocol::Event& event, const Position& before) {
    if (event.payload.has_marker()) {
        recovery_.add(event.payload.marker(), event.position, before, clock_.now());
    }
}

void ApplyOrder::accept_item_event(Lane& lane, Pending& pending) {
    const v1::Payload& payload = pending.event.payload;
    if (payload.has_announcement()) {
        const auto& items = payload.announcement().items();
        announcements_.open(lane.store, pending.event.position, {items.begin(), items.end()},
                            clock_.steady_now());
        lane.announcements[pending.event.position] = &pending;
        if (items.empty()) {
            close(lane, {pending.event.position});
        }
        return;
    }
    if (payload.has_reconciled()) {
        close(lane, announcements_.fulfil_before_session(lane.store, pending.event.position.epoch,
                                                         pending.event.position.session));
        done(lane, pending);
        pop_done(lane);
        return;
    }
    const std::string* item = protocol::item_of(payload);
    if (item == nullptr) {
        // It stays where it is and holds the lane: an event is never skipped.
        lane.problem = "event " + pending.event.position.to_string() +
                       " is of a kind that this version does not know; upgrade this site";
        return;
    }
    auto& events = lane.by_item[*item];
    events.push_back(&pending);
    if (events.size() == 1) {
        run_next(lane, *item);
    }
}

void ApplyOrder::run_next(Lane& lane, const std::string& item) {
    Pending& pending = *lane.by_item.at(item).front();
    if (protocol::is_removal(pending.event.payload) && !removal_may_go(pending)) {
        lane.blocked_removals.push_back(item);
    } else {
        lane.runnable.push_back(item);
    }
}

bool ApplyOrder::removal_may_go(const Pending& pending) const {
    if (!options_.causal) {
        return true;
    }
    const Position order = order_of(pending.event);
    return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& entry) {
        const Lane& lane = entry.second;
        if (!is_database(lane.store) || lane.copying) {
            return true;
        }
        if (!lane.queue.empty() && lane.queue.front().event.position < order) {
            return false;
        }
        const bool open_before = lane.open_before && *lane.open_before < order;
        const bool skipped_before = lane.skipped_from && *lane.skipped_from < order;
        return !open_before && !skipped_before;
    });
}

void ApplyOrder::release_removals() {
    for (auto& [store, lane] : lanes_) {
        std::deque<std::string> blocked = std::exchange(lane.blocked_removals, {});
        for (const std::string& item : blocked) {
            run_next(lane, item);
        }
    }
}

bool ApplyOrder::wants_restart() const {
    const auto oldest = announcements_.oldest();
    return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& entry) {
        const Lane& lane = entry.second;
        const bool waited_enough =
            lane.skipped_from && lane.queue.empty() && (!oldest || *oldest > *lane.skipped_from);
        return lane.rewind || waited_enough;
    });
}

std::vector<ApplyOrder::Task> ApplyOrder::take_items(
    const StoreId& store, size_t most, const std::function<bool(const protocol::Event&)>& ready) {
    Lane& lane = lane_of(store);
    std::vector<Task> tasks;
    while (tasks.size() < most && !lane.runnable.empty()) {
        const std::string item = std::move(lane.runnable.front());
        lane.runnable.pop_front();
        Pending& pending = *lane.by_item.at(item).front();
        if (!ready(pending.event)) {
            lane.waiting_for_content.push_back(item);
            continue;
        }
        pending.state = State::Taken;
        tasks.push_back({&pending.event});
    }
    return tasks;
}

void ApplyOrder::content_arrived(const StoreId& store) {
    Lane& lane = lane_of(store);
    for (std::string& item : std::exchange(lane.waiting_for_content, {})) {
        lane.runnable.push_back(std::move(item));
    }
}

void ApplyOrder::give_back(const StoreId& store, const std::vector<Task>& tasks) {
    Lane& lane = lane_of(store);
    for (const Task& task : tasks) {
        const std::string& item = *protocol::item_of(task.event->payload);
        lane.by_item.at(item).front()->state = State::Waiting;
        lane.runnable.push_back(item);
    }
}

Exception ApplyOrder::park(const Lane& lane, const protocol::Event& event,
                           const Result& result) const {
    Exception exception;
    exception.store = lane.store;
    exception.item = *protocol::item_of(event.payload);
    exception.failure = result.failure;
    exception.reason = result.reason;
    exception.next_step = result.next_step;
    exception.position = order_of(event);
    exception.since = clock_.now();
    exception.tries = 1;
    exception.next_try = clock_.now();
    if (result.kind != Result::Kind::NeedsWhole) {
        exception.next_try += first_retry;
    }
    return exception;
}

Registry::Outcome ApplyOrder::judge(Lane& lane, const Finished& finished) {
    const protocol::Event& event = *finished.task.event;
    Registry::Outcome outcome{*protocol::item_of(event.payload), event.position, {}, {}};
    ++lane.applied;
    if (finished.result.kind == Result::Kind::Failed ||
        finished.result.kind == Result::Kind::NeedsWhole) {
        outcome.parked = park(lane, event, finished.result);
        return outcome;
    }
    if (event.payload.has_unchanged()) {
        return outcome;
    }
    const Digest expected = expected_digest_(event.payload);
    if (finished.result.kind == Result::Kind::Applied && finished.result.digest != expected) {
        ++lane.mismatches;
        outcome.parked = park(lane, event,
                              Result::failed(FailureClass::LocalDefect,
                                             "digest is " + finished.result.digest.to_string() +
                                                 " and should be " + expected.to_string()));
        return outcome;
    }
    ++lane.verified;
    outcome.applied = finished.result.digest;
    return outcome;
}

void ApplyOrder::finish_items(const StoreId& store, const std::vector<Finished>& finished_tasks) {
    Lane& lane = lane_of(store);
    std::vector<Registry::Outcome> outcomes;
    for (const Finished& finished_task : finished_tasks) {
        outcomes.push_back(judge(lane, finished_task));
        const std::string item = outcomes.back().item;
        auto& events = lane.by_item.at(item);
        Pending& pending = *events.front();
        events.pop_front();
        fulfil(lane, item, pending.event);
        done(lane, pending);
        if (events.empty()) {
            lane.by_item.erase(item);
        } else {
            run_next(lane, item);
        }
    }
    pop_done(lane);
    registry_.record(store, outcomes, finished(lane));
    update_recovery();
}

void ApplyOrder::fulfil(Lane& lane, const std::string& item, const protocol::Event& event) {
    const v1::Fulfils* fulfils = protocol::fulfils(event.payload);
    close(lane, announcements_.fulfil(lane.store, item, in_session_of(event, fulfils->through())));
}

void ApplyOrder::close(Lane& lane, const std::vector<Position>& complete) {
    for (const Position& position : complete) {
        const auto found = lane.announcements.find(position);
        if (found != lane.announcements.end()) {
            done(lane, *found->second);
            lane.announcements.erase(found);
        }
    }
    pop_done(lane);
}

void ApplyOrder::done(Lane& lane, Pending& pending) {
    pending.state = State::Done;
    lane.bytes -= pending.bytes;
    pending.bytes = 0;
    pending.event.payload.Clear();
}

void ApplyOrder::pop_done(Lane& lane) {
    while (!lane.queue.empty() && lane.queue.front().state == State::Done) {
        lane.queue.pop_front();
    }
}

Position ApplyOrder::finished(const Lane& lane) const {
    Position position = std::max(accepted_, lane.begun);
    if (!lane.queue.empty()) {
        position = std::max(lane.queue.front().before, lane.begun);
    } else if (lane.skipped_from) {
        position =
            std::max(lane.begun, Position{lane.skipped_from->epoch, lane.skipped_from->session, 0});
    }
    if (lane.open_before) {
        position = std::min(position, *lane.open_before);
    }
    return lane.copying ? lane.begun : position;
}

std::map<StoreId, Position> ApplyOrder::finished() const {
    std::map<StoreId, Position> positions;
    for (const auto& [store, lane] : lanes_) {
        positions[store] = finished(lane);
    }
    return positions;
}

std::vector<const protocol::Event*> ApplyOrder::take_transactions(const StoreId& store,
                                                                  size_t most_events,
                                                                  size_t most_bytes) {
    Lane& lane = lane_of(store);
    std::vector<const protocol::Event*> events;
    const auto barrier = options_.causal ? announcements_.oldest() : std::nullopt;
    size_t bytes = 0;
    for (Pending& pending : lane.queue) {
        const bool waits = barrier && *barrier < pending.event.position;
        if (waits || events.size() == most_events || bytes > most_bytes) {
            break;
        }
        if (!pending.event.payload.has_transaction()) {
            lane.problem = "event " + pending.event.position.to_string() +
                           " is of a kind that this version does not know; upgrade this site";
            break;
        }
        pending.state = State::Taken;
        bytes += pending.bytes;
        events.push_back(&pending.event);
    }
    lane.taken = events.size();
    return events;
}

void ApplyOrder::finish_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    for (; lane.taken > 0; --lane.taken) {
        Pending& pending = lane.queue.front();
        const v1::Transaction& transaction = pending.event.payload.transaction();
        if (transaction.last()) {
            lane.open_before.reset();
            ++lane.applied;
            ++lane.verified;
        } else if (!lane.open_before) {
            lane.open_before = std::max(pending.before, lane.begun);
        }
        lane.bytes -= pending.bytes;
        lane.queue.pop_front();
    }
    lane.problem.clear();
    release_removals();
    update_recovery();
}

void ApplyOrder::fail_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    for (size_t i = 0; i < lane.taken; ++i) {
        lane.queue[i].state = State::Waiting;
    }
    lane.taken = 0;
    // Parts of a large transaction that were applied are rolled back: they must come again.
    lane.rewind = lane.rewind || lane.open_before.has_value();
}

void ApplyOrder::drop_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    for (; lane.taken > 0; --lane.taken) {
        lane.bytes -= lane.queue.front().bytes;
        lane.queue.pop_front();
    }
    lane.rewind = lane.rewind || lane.open_before.has_value();
}

void ApplyOrder::look_at_time() {
    const SteadyTime deadline = clock_.steady_now() - options_.max_hold;
    for (const Announcements::OpenItem& open : announcements_.expired(deadline)) {
        Exception exception;
        exception.store = open.store;
        exception.item = open.item;
        exception.kind = ExceptionKind::Expired;
        exception.reason = "rows waited longer than max_hold for it";
        exception.position = open.position;
        exception.since = clock_.now();
        exception.tries = 1;
        exception.next_try = clock_.now() + first_retry;
        registry_.add_exception(exception);
        close(lane_of(open.store), announcements_.fulfil(open.store, open.item, open.position));
    }
}

void ApplyOrder::update_recovery() {
    recovery_.advance(finished(), registry_.oldest_exception());
}

ApplyOrder::LaneStatus ApplyOrder::status(const StoreId& store) const {
    const Lane& lane = lanes_.at(store);
    LaneStatus status;
    status.finished = finished(lane);
    status.waiting_bytes = lane.bytes;
    status.waiting = static_cast<size_t>(
        std::count_if(lane.queue.begin(), lane.queue.end(), [](const Pending& pending) {
            return pending.state != State::Done && !pending.event.payload.has_announcement();
        }));
    status.applied = lane.applied;
    status.verified = lane.verified;
    status.mismatches = lane.mismatches;
    status.problem = lane.problem;
    const auto oldest = announcements_.oldest();
    if (is_database(store) && oldest && options_.causal && !lane.queue.empty() &&
        *oldest < lane.queue.front().event.position) {
        status.held_by = "transactions wait for items announced at " + oldest->to_string();
    } else if (!lane.waiting_for_content.empty()) {
        status.held_by = std::to_string(lane.waiting_for_content.size()) +
                         " items wait for content that is being pulled";
    } else if (!lane.blocked_removals.empty()) {
        status.held_by = std::to_string(lane.blocked_removals.size()) +
                         " removals wait for transactions before them";
    }
    return status;
}

}  // namespace antipode::secondary
