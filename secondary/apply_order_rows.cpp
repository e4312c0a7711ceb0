#include <algorithm>

#include "secondary/apply_order.hpp"

/// What is done about rows: transactions are handed out in order, and what becomes of them is
/// noted.
namespace antipode::secondary {
namespace {

/// Whether `next` goes on where `before` has ended. What was published again, and what stands
/// behind something that is missing, does not.
bool goes_on(const v1::Transaction& before, const v1::Transaction& next) {
    if (!before.last()) {
        return next.commit_lsn() == before.commit_lsn() && next.part() == before.part() + 1;
    }
    return next.part() == 0 && next.commit_lsn() >= before.commit_lsn() &&
           next.after_lsn() <= before.end_lsn();
}

}  // namespace

std::vector<const protocol::Event*> ApplyOrder::take_transactions(const StoreId& store,
                                                                  size_t most_events,
                                                                  size_t most_bytes) {
    Lane& lane = lane_of(store);
    std::vector<const protocol::Event*> events;
    const auto barrier = lane.queue.empty() ? std::nullopt : rows_barrier();
    size_t bytes = 0;
    for (const auto& [position, pending] : lane.queue) {
        const bool waits = barrier && *barrier <= position;
        if (waits || events.size() == most_events || bytes > most_bytes) {
            break;
        }
        if (!pending.event.payload.has_transaction()) {
            lane.problem = "event " + position.to_string() +
                           " is of a kind that this version does not know; upgrade this site";
            break;
        }
        if (!events.empty() &&
            !goes_on(events.back()->payload.transaction(), pending.event.payload.transaction())) {
            break;
        }
        bytes += pending.bytes;
        events.push_back(&pending.event);
    }
    lane.taken = events.size();
    return events;
}

void ApplyOrder::finish_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    for (; lane.taken > 0; --lane.taken) {
        const auto& [position, pending] = *lane.queue.begin();
        const v1::Transaction& transaction = pending.event.payload.transaction();
        lane.open_commit_lsn = transaction.commit_lsn();
        lane.open_next_part = transaction.part() + 1;
        if (transaction.last()) {
            lane.open_before.reset();
            note_latencies(store, transaction);
            const auto transactions =
                static_cast<uint64_t>(std::max(1, transaction.members_size()));
            lane.applied += transactions;
            lane.verified += transactions;
        } else if (!lane.open_before) {
            lane.open_before = std::max(pending.before, lane.begun);
        }
        done(lane, Position(position));
    }
    lane.problem.clear();
    release_removals();
    update_recovery();
}

void ApplyOrder::fail_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    lane.taken = 0;
    // Parts of a large transaction that were applied are rolled back: they must come again.
    if (lane.open_before) {
        rewind(lane);
    }
}

void ApplyOrder::drop_transactions(const StoreId& store) {
    Lane& lane = lane_of(store);
    if (lane.open_before && taken_complete_open(lane)) {
        rewind(lane);  // it is whole, and another one behind it does not join on
    }
    lane.open_before.reset();
    for (; lane.taken > 0; --lane.taken) {
        done(lane, Position(lane.queue.begin()->first));
    }
}

bool ApplyOrder::taken_complete_open(const Lane& lane) {
    uint32_t part = lane.open_next_part;
    auto next = lane.queue.begin();
    for (size_t i = 0; i < lane.taken; ++i, ++next, ++part) {
        const v1::Transaction& transaction = next->second.event.payload.transaction();
        if (transaction.commit_lsn() != lane.open_commit_lsn || transaction.part() != part) {
            return false;
        }
        if (transaction.last()) {
            return true;
        }
    }
    return false;
}

}  // namespace antipode::secondary
