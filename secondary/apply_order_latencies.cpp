#include "secondary/apply_order.hpp"

/// How long changes took from the primary to here.
namespace antipode::secondary {
namespace {

std::chrono::microseconds since(int64_t microseconds, TimePoint now) {
    return now - from_microseconds(microseconds);
}

}  // namespace

/// What failed, or was applied before, says nothing of how fast changes come.
void ApplyOrder::note_latencies(const StoreId& store, const std::vector<Finished>& finished_tasks) {
    Latencies& latencies = latencies_[store];
    for (const Finished& finished_task : finished_tasks) {
        if (finished_task.result.kind == Result::Kind::Applied) {
            latencies.note(clock_.steady_now(),
                           clock_.now() - finished_task.task.event->captured_at);
        }
    }
}

/// From the commit on the primary's server; of a large transaction when its last part is applied.
void ApplyOrder::note_latencies(const StoreId& store, const v1::Transaction& transaction) {
    Latencies& latencies = latencies_[store];
    const TimePoint now = clock_.now();
    const SteadyTime steady_now = clock_.steady_now();
    for (const auto& member : transaction.members()) {
        latencies.note(steady_now, since(member.commit_time_us(), now));
    }
    // Barriers, and log that holds nothing for us, are no changes.
    if (transaction.members().empty() &&
        (transaction.change_count() > 0 || !transaction.statements().empty())) {
        latencies.note(steady_now, since(transaction.commit_time_us(), now));
    }
}

}  // namespace antipode::secondary
