#include "primary/item_lane.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/backoff.hpp"

namespace antipode::primary {
namespace {

constexpr std::chrono::milliseconds first_retry(100);
constexpr std::chrono::milliseconds slowest_retry(30'000);
constexpr unsigned tries_before_unreadable = 3;

}  // namespace

void ItemLane::queue(const std::string& name, Item& item) {
    item.phase = Phase::Queued;
    ready_.push_back(name);
}

void ItemLane::close(uint64_t first) {
    const auto found = open_.find(first);
    if (found != open_.end() && --found->second == 0) {
        open_.erase(found);
    }
}

std::optional<uint64_t> ItemLane::oldest_open() const {
    return open_.empty() ? std::nullopt : std::optional(open_.begin()->first);
}

ItemLane::Item& ItemLane::place(const std::string& name, uint64_t number) {
    Item& item = items_[name];
    if (item.first == 0) {
        item.first = number;
        open(number);
    }
    item.through = number;
    if (item.phase == Phase::Idle) {
        queue(name, item);
    } else if (item.phase != Phase::Queued && item.next_first == 0) {
        item.next_first = number;
    } else if (delayed_.erase({item.not_before, name}) > 0) {
        ready_.push_back(name);  // rows wait for it: what was wrong may have been mended by this
    }
    return item;
}

void ItemLane::announced(const std::string& name, uint64_t number) {
    Item& item = place(name, number);
    if (item.phase == Phase::Queued) {
        item.cleared_at = 0;
        item.changed = true;
    } else {
        item.next_cleared_at = 0;
        item.next_changed = true;
    }
}

void ItemLane::removal_announced(const std::string& name, uint64_t number) {
    Item& item = place(name, number);
    (item.phase == Phase::Queued ? item.cleared_at : item.next_cleared_at) = number;
    item.losses_before = completeness.losses;
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
    item.next_first = 0;
    item.next_changed = false;
    item.reading_whole = std::exchange(item.whole, false);
    return ReadTask{store(), name, item.reading_whole, session};
}

v1::Fulfils ItemLane::fulfils(const std::string& name) const {
    v1::Fulfils fulfils;
    const auto found = items_.find(name);
    if (found != items_.end()) {
        const Item& item = found->second;
        // What was announced before may have been fulfilled by saying that it is unreadable.
        fulfils.set_first(item.first <= item.reading_through ? item.first : 0);
        fulfils.set_through(item.reading_through);
    }
    return fulfils;
}

uint64_t ItemLane::removal_announcement(const std::string& name) const {
    return items_.at(name).cleared_at;
}

bool ItemLane::only_removals_announced(const std::string& name) const {
    const Item& item = items_.at(name);
    return item.cleared_at != 0 && !item.changed && !item.next_changed &&
           item.first <= item.reading_through;
}

void ItemLane::reading_failed(const std::string& name, const std::string& problem,
                              const std::string& next_step, SteadyTime now) {
    Item& item = items_[name];
    ++item.tries;
    item.problem = problem;
    item.next_step = next_step;
    item.phase = Phase::Queued;
    item.whole = item.whole || item.reading_whole;
    const uint64_t cleared_since = std::exchange(item.next_cleared_at, 0);
    if (item.next_changed || cleared_since != 0) {
        item.cleared_at = cleared_since;
    }
    item.changed = item.changed || item.next_changed;
    item.not_before = now + Backoff::after(item.tries, first_retry, slowest_retry);
    delayed_.emplace(item.not_before, name);
}

bool ItemLane::is_unreadable(const std::string& name) const {
    const auto found = items_.find(name);
    return found != items_.end() && found->second.first != 0 &&
           found->second.tries >= tries_before_unreadable;
}

void ItemLane::said_unreadable(const std::string& name) {
    settle(name);
    Item& item = items_[name];
    close(item.first);
    item.first = std::exchange(item.next_first, 0);
    item.changed = item.next_changed;
    if (item.first != 0) {
        open(item.first);
    }
}

void ItemLane::publishing(const std::string& name) {
    items_[name].phase = Phase::Publishing;
}

void ItemLane::removal_follows(const std::string& name) {
    Item& item = items_[name];
    item.owes_removal = true;
    if (item.first != 0 && owed_.emplace(name, item.first).second) {
        open(item.first);
    }
}

void ItemLane::settle(const std::string& name) {
    if (const auto owed = owed_.find(name); owed != owed_.end()) {
        close(owed->second);
        owed_.erase(owed);
    }
}

void ItemLane::finished(const std::string& name) {
    Item& item = items_[name];
    close(item.first);
    if (!std::exchange(item.owes_removal, false)) {
        settle(name);
    }
    if (item.next_first == 0) {
        items_.erase(name);
        return;
    }
    item.first = std::exchange(item.next_first, 0);
    open(item.first);
    item.cleared_at = std::exchange(item.next_cleared_at, 0);
    item.changed = std::exchange(item.next_changed, false);
    item.tries = 0;
    item.problem.clear();
    queue(name, item);
}

std::vector<std::string> ItemLane::in_flight() const {
    std::vector<std::string> names;
    for (const auto& [name, item] : items_) {
        if (item.phase == Phase::Reading || item.phase == Phase::Publishing) {
            names.push_back(name);
        }
    }
    return names;
}

void ItemLane::hold_removal(HeldRemoval removal, bool anew) {
    const auto held = held_.find(removal.item);
    if (held != held_.end() && !anew) {
        return;
    }
    if (held != held_.end()) {
        const HeldRemoval& before = *held->second;
        removal.happened_after = std::min(removal.happened_after, before.happened_after);
        removal.whole = removal.whole || before.whole;
        removals_.erase(held->second);
    }
    removals_.push_back(std::move(removal));
    held_[removals_.back().item] = std::prev(removals_.end());
    ++removals_held_;
}

std::vector<ItemLane::HeldRemoval> ItemLane::withdraw_removals() {
    std::vector<HeldRemoval> withdrawn(std::make_move_iterator(removals_.begin()),
                                       std::make_move_iterator(removals_.end()));
    removals_.clear();
    held_.clear();
    for (const HeldRemoval& removal : withdrawn) {
        settle(removal.item);
    }
    return withdrawn;
}

bool ItemLane::was_read_whole(const std::string& name) const {
    const auto found = items_.find(name);
    return found != items_.end() && found->second.reading_whole;
}

bool ItemLane::lacks_need(const StoreId& database) const {
    // Needs are filled in for all at once: the newest lacks what any lacks.
    return !removals_.empty() && !removals_.back().needed.contains(database);
}

void ItemLane::set_missing_needs(const StoreId& database, Lsn needed) {
    for (auto removal = removals_.rbegin();
         removal != removals_.rend() && removal->needed.emplace(database, needed).second;
         ++removal) {
    }
}

void ItemLane::forget_needs() {
    for (HeldRemoval& removal : removals_) {
        removal.needed.clear();
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
        HeldRemoval& removal = removals_.front();
        held_.erase(removal.item);
        if (removal.whole) {
            want_whole(removal.item);
        }
        released.push_back(std::move(removal.item));
        removals_.pop_front();
    }
    return released;
}

bool ItemLane::removal_is_cleared(const std::string& name) const {
    const auto found = items_.find(name);
    return found != items_.end() && found->second.cleared_at != 0 &&
           found->second.next_first == 0 && found->second.losses_before == completeness.losses &&
           !held_.contains(name);
}

bool ItemLane::removal_is_announced_since(const std::string& name) const {
    const auto found = items_.find(name);
    return found != items_.end() && found->second.next_cleared_at != 0;
}

std::optional<TimePoint> ItemLane::oldest_held_removal() const {
    std::optional<TimePoint> oldest;
    for (const HeldRemoval& removal : removals_) {
        oldest = std::min(oldest.value_or(removal.happened_after), removal.happened_after);
    }
    return oldest;
}

ItemLane::Progress ItemLane::progress(const std::string& name, uint64_t through) const {
    if (held_.contains(name)) {
        return Progress::RemovalWaits;
    }
    const auto found = items_.find(name);
    if (found == items_.end()) {
        return Progress::Settled;
    }
    const Item& item = found->second;
    const auto is_open = [&](uint64_t first) { return first != 0 && first <= through; };
    if (is_open(item.first) || is_open(item.next_first)) {
        return Progress::Open;
    }
    if (item.tries >= tries_before_unreadable) {
        return Progress::Unreadable;
    }
    // A removal is announced once more when it is released.
    return item.cleared_at != 0 || item.next_cleared_at != 0 ? Progress::RemovalWaits
                                                             : Progress::Settled;
}

bool ItemLane::is_to_be_read(const std::string& name) const {
    const auto found = items_.find(name);
    if (found == items_.end()) {
        return false;
    }
    const Item& item = found->second;
    return item.phase == Phase::Queued ? item.tries == 0 : item.next_changed;
}

ItemLane::Problem ItemLane::problem_of(const std::string& name) const {
    const auto found = items_.find(name);
    return found == items_.end() ? Problem{name, {}, {}}
                                 : Problem{name, found->second.problem, found->second.next_step};
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
