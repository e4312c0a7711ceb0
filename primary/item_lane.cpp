#include "primary/item_lane.hpp"

#include <algorithm>

#include "base/backoff.hpp"

namespace antipode::primary {
namespace {

constexpr std::chrono::milliseconds first_retry(100);
constexpr std::chrono::milliseconds slowest_retry(30'000);

}  // namespace

void ItemLane::queue(const std::string& name, Item& item) {
    item.phase = Phase::Queued;
    ready_.push_back(name);
}

void ItemLane::announced(const std::string& name, uint64_t number) {
    Item& item = items_[name];
    if (item.first == 0) {
        item.first = number;
    }
    item.through = number;
    if (item.phase == Phase::Idle) {
        queue(name, item);
    }
}

std::optional<ReadTask> ItemLane::next_read(SteadyTime now, uint64_t session) {
    while (!delayed_.empty() && delayed_.begin()->first <= now) {
        ready_.push_back(delayed_.begin()->second);
        delayed_.erase(delayed_.begin());
    }
    if (ready_.empty()) {
        return std::nullopt;
    }
    const std::string name = ready_.front();
    ready_.pop_front();
    Item& item = items_[name];
    item.phase = Phase::Reading;
    item.reading_through = item.through;
    return ReadTask{store(), name, item.whole, session};
}

bool ItemLane::has_due_read(SteadyTime now) const {
    return !ready_.empty() || (!delayed_.empty() && delayed_.begin()->first <= now);
}

v1::Fulfils ItemLane::fulfils(const std::string& name) const {
    v1::Fulfils fulfils;
    const auto found = items_.find(name);
    if (found != items_.end()) {
        fulfils.set_first(found->second.first);
        fulfils.set_through(found->second.reading_through);
    }
    return fulfils;
}

void ItemLane::reading_failed(const std::string& name, const std::string& problem,
                              const std::string& next_step, SteadyTime now) {
    Item& item = items_[name];
    ++item.tries;
    item.problem = problem;
    item.next_step = next_step;
    item.phase = Phase::Queued;
    item.not_before = now + Backoff::after(item.tries, first_retry, slowest_retry);
    delayed_.emplace(item.not_before, name);
}

void ItemLane::publishing(const std::string& name) {
    items_[name].phase = Phase::Publishing;
}

void ItemLane::finished(const std::string& name) {
    Item& item = items_[name];
    const bool announced_again = item.through > item.reading_through;
    if (!announced_again) {
        items_.erase(name);
        return;
    }
    item.first = item.reading_through + 1;
    item.whole = false;
    item.removal_cleared = false;
    item.tries = 0;
    item.problem.clear();
    queue(name, item);
}

bool ItemLane::is_removal_held(const std::string& name) const {
    return std::any_of(removals_.begin(), removals_.end(),
                       [&](const HeldRemoval& removal) { return removal.item == name; });
}

bool ItemLane::lacks_need(const StoreId& database) const {
    return std::any_of(removals_.begin(), removals_.end(), [&](const HeldRemoval& removal) {
        return !removal.needed.contains(database);
    });
}

void ItemLane::set_missing_needs(const StoreId& database, Lsn needed) {
    for (HeldRemoval& removal : removals_) {
        removal.needed.emplace(database, needed);
    }
}

std::vector<std::string> ItemLane::release_removals(const std::map<StoreId, Lsn>& decoded) {
    std::vector<std::string> released;
    const auto passed = [&](const HeldRemoval& removal) {
        return std::all_of(decoded.begin(), decoded.end(), [&](const auto& reached) {
            const auto need = removal.needed.find(reached.first);
            return need != removal.needed.end() && reached.second >= need->second;
        });
    };
    while (!removals_.empty() && passed(removals_.front())) {
        items_[removals_.front().item].removal_cleared = true;
        released.push_back(std::move(removals_.front().item));
        removals_.pop_front();
    }
    return released;
}

bool ItemLane::removal_is_cleared(const std::string& name) const {
    const auto found = items_.find(name);
    return found != items_.end() && found->second.removal_cleared;
}

std::optional<TimePoint> ItemLane::oldest_held_removal() const {
    return removals_.empty() ? std::nullopt : std::optional(removals_.front().noticed_at);
}

std::vector<ItemLane::Problem> ItemLane::problems(size_t most) const {
    std::vector<Problem> problems;
    for (const auto& [time, name] : delayed_) {
        if (problems.size() == most) {
            break;
        }
        const Item& item = items_.at(name);
        problems.push_back({name, item.problem, item.next_step});
    }
    return problems;
}

}  // namespace antipode::primary
