#include "primary/deletion_guard.hpp"

#include <algorithm>
#include <unordered_set>

#include <spdlog/spdlog.h>

namespace antipode::primary {
namespace {

constexpr std::chrono::minutes window(1);
/// So many are held when nothing else is left; a small store may lose its last few items.
constexpr uint64_t emptied_least = 10;

}  // namespace

DeletionGuard::Verdict DeletionGuard::judge(const std::vector<std::string>& removed, bool emptied,
                                            TimePoint now, TimePoint happened_after) {
    Verdict verdict;
    std::vector<Inventory::Withheld> undecided;
    for (const std::string& item : removed) {
        const auto decision = inventory_.decision(store_, item);
        if (!decision) {
            undecided.push_back({item, happened_after});
        } else if (*decision == Inventory::Decision::Released) {
            verdict.allowed.push_back(item);
        }
    }
    if (undecided.empty()) {
        return verdict;
    }
    count(undecided, now);
    const bool running = inventory_.withheld(store_).held > 0;
    if (running || emptied || is_storm(undecided.size())) {
        verdict.storm = !running;
        withhold(std::move(undecided), now);
        return verdict;
    }
    for (Inventory::Withheld& item : undecided) {
        verdict.allowed.push_back(std::move(item.item));
    }
    return verdict;
}

bool DeletionGuard::may_go(const std::string& item) const {
    const auto decision = inventory_.decision(store_, item);
    return !decision || *decision == Inventory::Decision::Released;
}

void DeletionGuard::forget_old(TimePoint now) {
    std::erase_if(lately_, [&](const Seen& seen) {
        // A clock that was set back must not keep anything here for ever.
        const bool old = seen.at > now || now - seen.at > window;
        for (const size_t item : old ? seen.items : std::vector<size_t>{}) {
            counted_.erase(item);
        }
        return old;
    });
}

void DeletionGuard::count(const std::vector<Inventory::Withheld>& removed, TimePoint now) {
    if (!limits_.enabled) {
        return;
    }
    forget_old(now);
    Seen seen{now, 0, {}};
    for (const Inventory::Withheld& gone : removed) {
        const size_t item = std::hash<std::string>()(gone.item);
        if (counted_.insert(item).second) {
            seen.items.push_back(item);
        }
    }
    seen.count = seen.items.size();
    if (seen.count > 0) {
        lately_.push_back(std::move(seen));
    }
}

bool DeletionGuard::is_storm(uint64_t removed) const {
    if (!limits_.enabled) {
        return false;
    }
    uint64_t count = 0;
    for (const Seen& seen : lately_) {
        count += seen.count;
    }
    if (count >= emptied_least && inventory_.count_up_to(store_, removed + 1) <= removed) {
        return true;
    }
    // Of more items than this it would not be too much.
    const uint64_t most = limits_.percent == 0 ? 0 : count * 100 / limits_.percent;
    return count >= limits_.least &&
           (limits_.percent == 0 || inventory_.count_up_to(store_, most + 1) <= most);
}

void DeletionGuard::withhold(std::vector<Inventory::Withheld> items, TimePoint now) {
    if (items.empty()) {
        return;
    }
    if (inventory_.withheld(store_).held == 0) {
        spdlog::warn(
            "{}: deletions are held from now on, so many at once may be a mistake. Try: "
            "antipode deletions",
            store_.to_string());
    }
    lately_.clear();
    counted_.clear();
    inventory_.withhold(store_, items, now);
}

/// What only a secondary has is never found to be gone: that does not mean that it is back.
bool DeletionGuard::is_known(const std::string& item) const {
    const auto published = inventory_.find(store_, item);
    return published && !published->removed();
}

bool DeletionGuard::compared(const Noticed& noticed, TimePoint began, TimePoint now) {
    if (inventory_.withheld(store_).none()) {
        return false;
    }
    std::unordered_set<std::string> gone(noticed.removed.begin(), noticed.removed.end());
    gone.insert(noticed.moved.begin(), noticed.moved.end());
    std::vector<std::string> back;
    std::vector<std::string> not_gone;
    bool goes_on = false;  // what was deleted meanwhile may have been seen before
    for (const auto decision : {Inventory::Decision::Held, Inventory::Decision::Discarded,
                                Inventory::Decision::Released}) {
        inventory_.for_each_withheld(store_, decision, [&](const Inventory::Withheld& withheld) {
            const bool meanwhile = withheld.since > began;
            goes_on = goes_on || meanwhile;
            if (!meanwhile && !gone.contains(withheld.item)) {
                (decision == Inventory::Decision::Released ? back : not_gone)
                    .push_back(withheld.item);
            }
            return true;
        });
    }
    std::copy_if(not_gone.begin(), not_gone.end(), std::back_inserter(back),
                 [&](const std::string& item) { return is_known(item); });
    if (back.empty()) {
        return false;
    }
    inventory_.forget_withheld(store_, back);
    const uint64_t left = inventory_.withheld(store_).held;
    spdlog::info("{}: {} that were to be deleted are back, {} are held still", store_.to_string(),
                 back.size(), left);
    if (limits_.enabled) {
        forget_old(now);
        lately_.push_back({now, left, {}});
    }
    return left > 0 && !goes_on && !is_storm(left) &&
           inventory_.decide(store_, Inventory::Decision::Released) > 0;
}

}  // namespace antipode::primary
