#include "secondary/apply_order.hpp"

#include <algorithm>

#include "base/backoff.hpp"
#include "base/words.hpp"
#include "secondary/causality.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::milliseconds first_retry(1000);
constexpr std::chrono::milliseconds slowest_retry(300'000);

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
        latencies_[store];
    }
}

void ApplyOrder::begin(const std::map<StoreId, Position>& finished) {
    announcements_ = Announcements();
    recovery_.read_again();
    accepted_ = {};
    read_again_to_ = {};
    marker_seen_ = {};
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
        rewind(lane);
    }
    lane.copying = copying;
}

bool ApplyOrder::has_room() const {
    // A copy takes hours, and ends without what would be read meanwhile.
    const size_t most_removals = is_copying() ? options_.lane_events : SIZE_MAX;
    return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& entry) {
        const Lane& lane = entry.second;
        return lane.bytes < options_.lane_bytes && lane.events < options_.lane_events &&
               lane.blocked_removals.size() < most_removals;
    });
}

bool ApplyOrder::is_copying() const {
    return std::any_of(lanes_.begin(), lanes_.end(),
                       [](const auto& entry) { return entry.second.copying; });
}

std::optional<Position> ApplyOrder::rows_barrier() const {
    if (!options_.causal) {
        return std::nullopt;
    }
    std::optional<Position> barrier = announcements_.oldest();
    for (const auto& [store, lane] : lanes_) {
        const auto gap = is_database(store) ? std::nullopt : registry_.gap(store);
        if (gap && gap->rows_wait) {
            barrier = std::min(barrier.value_or(gap->rows_from), gap->rows_from);
        }
    }
    return barrier;
}

void ApplyOrder::run_next(Lane& lane, const std::string& item) {
    const std::deque<Pending*>& events = lane.by_item.at(item);
    if (!is_blocked_removal(events.front()->event) || pass_removals(lane, item)) {
        let_run(lane, item);
    } else {
        lane.blocked_removals.emplace(order_of(events.front()->event), item);
    }
}

bool ApplyOrder::is_blocked_removal(const protocol::Event& event) const {
    if (!protocol::is_removal(event.payload)) {
        return false;
    }
    const auto limit = removal_limit();
    return limit && *limit < order_of(event);
}

bool ApplyOrder::pass_removals(Lane& lane, const std::string& item) {
    // Rows may wait for what stands behind a removal that waits for rows.
    std::deque<Pending*>& events = lane.by_item.at(item);
    for (size_t i = 1; i < events.size();) {
        const protocol::Event& event = events[i]->event;
        if (protocol::is_removal(event.payload)) {
            ++i;
        } else if (event.payload.has_unchanged()) {
            const Position position = event.position;
            Position removed;
            for (size_t before = 0; before < i; ++before) {
                removed = std::max(removed, fulfilled_through(events[before]->event));
            }
            close(lane, announcements_.fulfil_before_removals(lane.store, item,
                                                              fulfilled_through(event), removed));
            events.erase(events.begin() + static_cast<ptrdiff_t>(i));
            done(lane, position);
            fulfil_found(lane);
        } else {
            // If it builds on something between that was lost, it fails, and is asked for whole.
            Pending& change = *events[i];
            for (size_t left = i; left > 0; --left) {
                change.instead_of.push_back(events.front()->event.position);
                events.pop_front();
            }
            return true;
        }
    }
    return false;
}

std::optional<Position> ApplyOrder::removal_limit() const {
    if (!options_.causal) {
        return std::nullopt;
    }
    std::optional<Position> limit;
    const auto lower = [&](const Position& to) { limit = std::min(limit.value_or(to), to); };
    for (const auto& [store, lane] : lanes_) {
        if (!is_database(store)) {
            continue;
        }
        if (lane.copying) {
            lower(lane.begun);  // its rows are of a moment after that, and not yet of now
        }
        if (!lane.queue.empty()) {
            lower(lane.queue.begin()->first);
        }
        if (lane.open_before) {
            lower(*lane.open_before);
        }
        if (lane.skipped_from) {
            lower(*lane.skipped_from);
        }
        if (lane.read_again_from) {
            lower(*lane.read_again_from);
        }
        if (lacks_rows(lane) || registry_.gap(store)) {
            lower(Position{});
        }
    }
    return limit;
}

/// Or may lack them, while nobody knows where the database stands: rows that the stream does not
/// bring, because the primary's slot has passed them.
bool ApplyOrder::lacks_rows(const Lane& lane) const {
    if (lane.copying || lane.open_before) {
        return false;
    }
    const Lsn before =
        lane.queue.empty()
            ? lane.named_commit
            : Lsn{lane.queue.begin()->second.event.payload.transaction().after_lsn()};
    const auto stands_at = recovery_.stands_at(lane.store);
    return !stands_at || *stands_at < before;
}

std::optional<Position> ApplyOrder::rows_to_come() const {
    std::optional<Position> oldest = removal_limit();
    for (const auto& [store, lane] : lanes_) {
        if (options_.causal && is_database(store)) {
            // What is not read yet may bring rows.
            const Position read = std::max(accepted_, lane.begun);
            const Position next{read.epoch, read.session, read.number + 1};
            oldest = std::min(oldest.value_or(next), next);
        }
    }
    const auto past = options_.causal ? recovery_.rows_are_past() : std::nullopt;
    return past ? std::min(oldest.value_or(*past), *past) : oldest;
}

void ApplyOrder::release_removals() {
    const auto none_blocked = [](const auto& entry) {
        return entry.second.blocked_removals.empty();
    };
    if (std::all_of(lanes_.begin(), lanes_.end(), none_blocked)) {
        return;
    }
    const auto limit = removal_limit();
    for (auto& [store, lane] : lanes_) {
        auto& blocked = lane.blocked_removals;
        while (!blocked.empty() && (!limit || blocked.begin()->first <= *limit)) {
            const std::string item = std::move(blocked.extract(blocked.begin()).value().second);
            let_run(lane, item);
        }
    }
}

bool ApplyOrder::wants_restart() const {
    return std::any_of(lanes_.begin(), lanes_.end(),
                       [](const auto& entry) { return entry.second.rewind; });
}

std::optional<Position> ApplyOrder::read_skipped() {
    std::optional<Position> from;
    const auto barrier = rows_barrier();
    for (auto& [store, lane] : lanes_) {
        if (lane.skipped_from && lane.queue.empty() &&
            (!barrier || *barrier > *lane.skipped_from)) {
            from = std::min(from.value_or(lane.skipped_before), lane.skipped_before);
        }
    }
    if (!from) {
        return std::nullopt;
    }
    for (auto& [store, lane] : lanes_) {
        lane.begun = finished(lane);  // what is accepted goes back for a while, this does not
        if (lane.skipped_from && lane.queue.empty()) {
            lane.seen = lane.skipped_before;
            lane.read_again_from = std::exchange(lane.skipped_from, std::nullopt);
        }
    }
    read_again_to_ = std::max(read_again_to_, std::exchange(accepted_, *from));
    return from;
}

std::vector<ApplyOrder::Task> ApplyOrder::take_items(
    const StoreId& store, size_t most, size_t most_bytes,
    const std::function<bool(const protocol::Event&)>& ready) {
    Lane& lane = lane_of(store);
    std::vector<Task> tasks;
    size_t bytes = 0;
    while (tasks.size() < most && bytes < most_bytes && !lane.runnable.empty()) {
        const std::string item = std::move(lane.runnable.front());
        lane.runnable.pop_front();
        Pending& pending = *lane.by_item.at(item).front();
        if (!ready(pending.event)) {
            lane.waiting_for_content.push_back(item);
            continue;
        }
        tasks.push_back({&pending.event});
        bytes += pending.bytes;
        for (const v1::Content* pulled : protocol::pulled_contents(pending.event.payload)) {
            bytes += pulled->size();
        }
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
        lane.runnable.push_back(*protocol::item_of(task.event->payload));
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
    if (event.payload.has_unreadable()) {
        exception.next_try += slowest_retry;  // the primary tries by itself
    } else if (result.kind != Result::Kind::NeedsWhole) {
        exception.next_try += first_retry;
    }
    return exception;
}

Registry::Outcome ApplyOrder::judge(Lane& lane, const Finished& finished) {
    const protocol::Event& event = *finished.task.event;
    Registry::Outcome outcome{*protocol::item_of(event.payload),
                              event.position,
                              std::max(order_of(event), fulfilled_through(event)),
                              {},
                              {}};
    if (finished.result.kind == Result::Kind::Superseded) {
        return outcome;
    }
    ++lane.applied;
    if (finished.result.kind == Result::Kind::Failed ||
        finished.result.kind == Result::Kind::NeedsWhole) {
        outcome.parked = park(lane, event, finished.result);
        return outcome;
    }
    if (event.payload.has_unchanged()) {
        judge_unchanged(lane, event, outcome);
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
    if (finished.result.digest == expected) {
        ++lane.verified;
        outcome.applied = finished.result.digest;
        outcome.attributes = verify::expected_attributes(event.payload);
        // Of a repository an update shows the refs and what is new.
        const bool is_all = !event.payload.has_ref_update() || event.payload.ref_update().full();
        const auto known = is_all ? std::nullopt : registry_.find(lane.store, outcome.item);
        outcome.looked = is_all && finished.result.proven;
        outcome.unproven =
            !finished.result.proven || (!is_all && (!known || known->digest.empty()));
        outcome.mends = is_all || !registry_.may_be_damaged(lane.store, outcome.item);
    }
    return outcome;
}

void ApplyOrder::judge_unchanged(Lane& lane, const protocol::Event& event,
                                 Registry::Outcome& outcome) const {
    const v1::Unchanged& unchanged = event.payload.unchanged();
    const Digest expected{unchanged.digest_algorithm(), unchanged.digest()};
    const auto known = registry_.find(lane.store, outcome.item);
    if (expected.empty()) {
        return;
    }
    if (known && known->digest == expected) {
        // Whoever waits for the item waits for this place, and for what is wrong with it.
        outcome.applied = expected;
        outcome.written = false;
        outcome.mends = !registry_.may_be_damaged(lane.store, outcome.item);
    } else if (!registry_.is_awaited(lane.store, outcome.item)) {
        outcome.parked =
            park(lane, event, Result::needs_whole("it is not here as the primary published it"));
    }
}

void ApplyOrder::finish_items(const StoreId& store, const std::vector<Finished>& finished_tasks) {
    Lane& lane = lane_of(store);
    const Position recorded = finished(lane);
    try {
        record(lane, finished_tasks);
    } catch (...) {
        // What is done is not recorded: begin again at what is.
        lane.begun = recorded;
        lane.rewind = true;
        throw;
    }
    update_recovery();
}

void ApplyOrder::record(Lane& lane, const std::vector<Finished>& finished_tasks) {
    note_latencies(lane.store, finished_tasks);
    std::vector<Registry::Outcome> outcomes;
    for (const Finished& finished_task : finished_tasks) {
        outcomes.push_back(judge(lane, finished_task));
        const std::string& item = outcomes.back().item;
        finish_front(lane, item);
        if (lane.by_item.contains(item)) {
            run_next(lane, item);
        }
    }
    registry_.record(lane.store, outcomes, finished(lane));
}

void ApplyOrder::finish_front(Lane& lane, const std::string& item) {
    const auto found = lane.by_item.find(item);
    const protocol::Event& event = found->second.front()->event;
    const Position position = event.position;
    const std::vector<Position> left_out = std::move(found->second.front()->instead_of);
    const std::string source = leans_on(event);
    end_copy(lane, event);
    fulfil(lane, item, event);
    found->second.pop_front();
    if (found->second.empty()) {
        lane.by_item.erase(found);
    }
    close(lane, left_out);
    done(lane, position);
    look_again(lane, source);
    look_at_copies_of(lane, item);
    fulfil_found(lane);
}

void ApplyOrder::fulfil(Lane& lane, const std::string& item, const protocol::Event& event) {
    if (event.payload.unchanged().removal_follows()) {
        announcements_.removal_follows(lane.store, item, fulfilled_through(event));
    } else {
        close(lane, announcements_.fulfil(lane.store, item, fulfilled_through(event)));
    }
}

void ApplyOrder::close(Lane& lane, const std::vector<Position>& complete) {
    for (const Position& position : complete) {
        done(lane, position);
    }
}

void ApplyOrder::done(Lane& lane, const Position& position) {
    const auto found = lane.queue.find(position);
    if (found == lane.queue.end()) {
        return;
    }
    if (found->second.bytes > 0) {
        lane.bytes -= found->second.bytes;
        --lane.events;
    }
    lane.queue.erase(found);
}

Position ApplyOrder::finished(const Lane& lane) const {
    Position position = std::max(accepted_, lane.begun);
    if (!lane.queue.empty()) {
        position = std::max(lane.queue.begin()->second.before, lane.begun);
    } else if (lane.skipped_from) {
        position = std::max(lane.skipped_before, lane.begun);
    }
    if (lane.open_before) {
        position = std::min(position, *lane.open_before);
    }
    return lane.copying || lane.rewind ? lane.begun : position;
}

std::map<StoreId, Position> ApplyOrder::finished() const {
    std::map<StoreId, Position> positions;
    for (const auto& [store, lane] : lanes_) {
        positions[store] = finished(lane);
    }
    return positions;
}

void ApplyOrder::rewind(Lane& lane) {
    lane.begun = finished(lane);
    lane.rewind = true;
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
    for (auto& [store, lane] : lanes_) {
        let_rows_pass_gap(store);
        fulfil_found(lane);
    }
    release_removals();
}

void ApplyOrder::update_recovery() {
    const auto finished_lanes = finished();
    // An item that was asked for again can be newer than the rows: they may name what it was.
    registry_.remove_mended(rows_to_come(), finished_lanes);
    recovery_.advance(finished_lanes, registry_.oldest_exception());
}

ApplyOrder::LaneStatus ApplyOrder::status(const StoreId& store) const {
    const Lane& lane = lanes_.at(store);
    LaneStatus status;
    status.finished = finished(lane);
    status.waiting_bytes = lane.bytes;
    status.waiting = lane.events;
    status.applied = lane.applied;
    status.verified = lane.verified;
    status.mismatches = lane.mismatches;
    status.problem = lane.problem;
    const auto next =
        lane.queue.empty() ? lane.skipped_from : std::optional(lane.queue.begin()->first);
    const auto barrier = is_database(store) && next ? rows_barrier() : std::nullopt;
    if (barrier && *barrier <= *next) {
        status.held_by = barrier == announcements_.oldest()
                             ? "transactions wait for items announced at " + barrier->to_string()
                             : "transactions wait for items that a gap may hide";
    } else if (!lane.waiting_for_content.empty()) {
        status.held_by = counted(lane.waiting_for_content.size(), "item waits", "items wait") +
                         " for content that is being pulled";
    } else if (!lane.blocked_removals.empty()) {
        status.held_by =
            counted(lane.blocked_removals.size(), "removal waits", "removals wait") +
            (is_copying() ? " for the copy of a database" : " for transactions before");
    }
    return status;
}

}  // namespace antipode::secondary
