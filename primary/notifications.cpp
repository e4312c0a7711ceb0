#include "primary/notifications.hpp"

#include <numeric>
#include <utility>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

NotifyCall::Answer held(const std::string& item, Inventory::Decision decision) {
    const bool kept = decision == Inventory::Decision::Discarded;
    return {.problem = "the deletion of " + printable(item) +
                       (kept ? " is not published: an operator had secondaries keep it"
                             : " is held with many others until an operator decides"),
            .next_step = "antipode deletions",
            .operator_decides = true};
}

}  // namespace

std::optional<NotifyCall::Answer> NotifyCall::wait(std::chrono::milliseconds timeout,
                                                   const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    answered_.wait_for(lock, stop, timeout, [&] { return answer_.has_value(); });
    return answer_;
}

std::string NotifyCall::waits_for() const {
    std::scoped_lock lock(mutex_);
    return waits_for_;
}

void NotifyCall::answer(Answer answer) {
    std::scoped_lock lock(mutex_);
    answer_ = std::move(answer);
    answered_.notify_all();
}

void NotifyCall::waits_for(std::string what) {
    std::scoped_lock lock(mutex_);
    waits_for_ = std::move(what);
}

Notification::~Notification() {
    answer(
        {.problem = "this daemon ends, or stops being the primary's", .next_step = "call again"});
}

size_t Notification::weight() const {
    return std::accumulate(items_.begin(), items_.end(), size_t{256},
                           [](size_t sum, const auto& item) { return sum + 64 + item.size(); });
}

void Notification::waits_for(const std::string& what) const {
    if (const auto call = call_.lock()) {
        call->waits_for(what);
    }
}

void Notification::answer(NotifyCall::Answer answer) {
    if (const auto call = std::exchange(call_, {}).lock()) {
        call->answer(std::move(answer));
    }
}

void Notifications::add(Sequencer& sequencer, Notification notification) {
    if (!notification.is_abandoned()) {
        const uint64_t announced = sequencer.notified(notification.store(), notification.items());
        pending_.push_back({std::move(notification), announced});
    }
}

void Notifications::begin_again(Sequencer& sequencer) {
    for (Pending& pending : std::exchange(pending_, {})) {
        add(sequencer, std::move(pending.call));
    }
}

void Notifications::look(const Sequencer& sequencer) {
    pending_.remove_if([&](Pending& pending) {
        return pending.call.is_abandoned() || settle(sequencer, pending);
    });
}

/// True when the call has its answer.
bool Notifications::settle(const Sequencer& sequencer, Pending& pending) const {
    const StoreId& store = pending.call.store();
    const ItemLane& lane = sequencer.items().at(store);
    for (; pending.settled < pending.call.items().size(); ++pending.settled) {
        const std::string& item = pending.call.items()[pending.settled];
        ItemLane::Problem problem = lane.problem_of(item);
        switch (lane.progress(item, pending.announced)) {
            case ItemLane::Progress::Open:
                pending.call.waits_for(problem.text.empty()
                                           ? printable(item) + " is being read and stored"
                                           : problem.text);
                return false;
            case ItemLane::Progress::RemovalWaits:
                pending.call.waits_for("the removal of " + printable(item) +
                                       " waits until the database's log is read up to it");
                return false;
            case ItemLane::Progress::Unreadable:
                pending.call.answer({.problem = std::move(problem.text),
                                     .next_step = std::move(problem.next_step)});
                return true;
            case ItemLane::Progress::Settled:
                break;
        }
        if (const auto decision = inventory_.decision(store, item)) {
            pending.call.answer(held(item, *decision));
            return true;
        }
        const auto published = inventory_.find(store, item);
        if (!published || published->removed()) {
            pending.gone.push_back(item);
        }
    }
    pending.call.answer({.position = sequencer.stored_through(), .gone = std::move(pending.gone)});
    return true;
}

}  // namespace antipode::primary
