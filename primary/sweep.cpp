#include "primary/sweep.hpp"

#include <algorithm>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/background.hpp"
#include "base/error.hpp"

namespace antipode::primary {
namespace {

constexpr size_t items_at_once = 64;
constexpr std::chrono::seconds idle_wait(5);
/// What is to be proven and cannot be read holds up nothing else.
constexpr std::chrono::minutes postponed_for(10);
/// What is broken, and what could not be read, is looked at again.
constexpr std::chrono::hours again_after(1);
constexpr size_t most_skipped = 1000;
/// A shorter sleep costs more than it paces.
constexpr uint64_t least_paced_ms = 20;

}  // namespace

void Sweep::run(const std::stop_token& stop, Worker::Progress progress) {
    const IdleDisk idle;
    be_nice();
    while (!stop.stop_requested()) {
        try {
            const bool more = step(stop);
            progress.healthy();
            if (!more) {
                sleep_unless_stopped(idle_wait, stop);
            }
        } catch (const Error& error) {
            progress.waiting_for(error.what(), error.next_step());
            sleep_unless_stopped(idle_wait, stop);
        }
    }
}

bool Sweep::step(const std::stop_token& stop) {
    if (prove(stop) || look_again(stop)) {
        return true;
    }
    const StoreId& store = capture_.store();
    Inventory::SweepPlace place = inventory_.sweep_place(store);
    const TimePoint now = clock_.now();
    // A clock that was set back must not end it.
    const bool waits = place.ended && place.began <= now && now - place.began < options_.period;
    if (waits || options_.period.count() == 0) {
        return false;
    }
    if (place.ended || place.began == TimePoint{}) {
        place = {now, std::nullopt, false, place.complete_since};
        skipped_.clear();
        has_skipped_more_ = false;
    }
    std::vector<std::string> items;
    inventory_.for_each_after(store, place.after, [&](const std::string& item, const auto&) {
        items.push_back(item);
        return items.size() < items_at_once;
    });
    size_t failed = 0;
    for (const std::string& item : items) {
        try {
            look(item, stop);
        } catch (const Error& error) {
            // One that cannot be read holds up no other; where none can, the store is away.
            if (++failed == items.size() && (items.size() > 1 || !place.after)) {
                throw;
            }
            skip(item, error);
        }
    }
    if (items.size() == items_at_once) {
        place.after = items.back();
    } else {
        end_round(place);
    }
    inventory_.set_sweep_place(store, place);
    return !place.ended;
}

void Sweep::skip(const std::string& item, const Error& error) {
    if (skipped_.size() >= most_skipped && !skipped_.contains(item)) {
        has_skipped_more_ = true;
    } else if (skipped_.insert_or_assign(item, error.what()).second) {
        spdlog::warn("{}: {} cannot be read: {}", capture_.store().to_string(), printable(item),
                     error.what());
    }
}

void Sweep::unskip(const std::string& item) {
    if (skipped_.erase(item) == 0 || !skipped_.empty()) {
        return;
    }
    Inventory::SweepPlace place = inventory_.sweep_place(capture_.store());
    if (place.ended) {
        end_round(place);
        inventory_.set_sweep_place(capture_.store(), place);
    }
}

void Sweep::end_round(Inventory::SweepPlace& place) const {
    place.ended = true;
    if (skipped_.empty() && !has_skipped_more_) {
        place.complete_since = place.began;
    }
}

/// A push says nothing of what is broken in a repository, so that it stays named until it is right.
bool Sweep::look_again(const std::stop_token& stop) {
    const SteadyTime now = clock_.steady_now();
    if (now < again_) {
        return false;
    }
    again_ = now + again_after;
    std::set<std::string> items;
    for (const Inventory::Defect& defect : inventory_.defects(capture_.store(), items_at_once)) {
        items.insert(defect.item);
    }
    for (const auto& [item, why] : skipped_) {
        items.insert(item);
    }
    for (const std::string& item : items) {
        try {
            look(item, stop);
        } catch (const Error& error) {
            skip(item, error);
        }
    }
    return !items.empty();
}

bool Sweep::prove(const std::stop_token& stop) {
    const SteadyTime now = clock_.steady_now();
    if (now >= retry_) {
        unreadable_.clear();
    }
    std::vector<std::string> items = inventory_.unproven(capture_.store());
    std::erase_if(items, [&](const std::string& item) { return unreadable_.contains(item); });
    items.resize(std::min(items.size(), items_at_once));
    for (const std::string& item : items) {
        try {
            look(item, stop);
            inventory_.proven(capture_.store(), item);
        } catch (const Error& error) {
            spdlog::warn("{}: {} cannot be read: {}", capture_.store().to_string(), printable(item),
                         error.what());
            unreadable_.insert(item);
            retry_ = now + postponed_for;
        }
    }
    return !items.empty();
}

void Sweep::look(const std::string& item, const std::stop_token& stop) {
    const auto paced = [&](uint64_t bytes) { pace(bytes, stop); };
    std::string reason = capture_.defect(item, paced, stop);
    if (!reason.empty()) {
        // Somebody may have been changing it, or tidying it up, just then.
        reason = capture_.defect(item, paced, stop);
    }
    unskip(item);
    if (reason.empty()) {
        inventory_.clear_defect(capture_.store(), item);
    } else if (inventory_.note_defect(capture_.store(), {item, reason, clock_.now()})) {
        spdlog::error("{}: {} is broken on this site: {}. Try: antipode failures",
                      capture_.store().to_string(), printable(item), reason);
    }
}

void Sweep::pace(uint64_t bytes, const std::stop_token& stop) {
    const uint64_t cap = options_.bytes_per_second();
    if (cap == 0) {
        return;
    }
    unpaced_ += bytes;
    const uint64_t milliseconds = unpaced_ * 1000 / cap;
    if (milliseconds >= least_paced_ms) {
        unpaced_ = 0;
        sleep_unless_stopped(std::chrono::milliseconds(milliseconds), stop);
    }
}

std::optional<TimePoint> Sweep::looked_since() const {
    return inventory_.sweep_place(capture_.store()).complete_since;
}

}  // namespace antipode::primary
