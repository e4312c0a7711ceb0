#include "secondary/repair.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/backoff.hpp"
#include "base/limits.hpp"
#include "protocol/inventory_reader.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t items_per_request = 512;
constexpr size_t items_per_look = 20'000;
constexpr std::chrono::milliseconds look_interval(300);
constexpr std::chrono::milliseconds first_retry(1000);
constexpr std::chrono::milliseconds slowest_retry(60'000);
constexpr std::chrono::milliseconds slowest_item_retry(300'000);

}  // namespace

Repair::Repair(std::string site, std::vector<StoreId> stores, Registry& registry,
               BulkSource& primary, Send send, AppliedLsn applied_lsn, const Clock& clock)
    : site_(std::move(site)),
      stores_(std::move(stores)),
      registry_(registry),
      primary_(primary),
      send_(std::move(send)),
      applied_lsn_(std::move(applied_lsn)),
      clock_(clock) {}

void Repair::run(const std::stop_token& stop, Worker::Progress progress) {
    while (!sleep_unless_stopped(look_interval, stop)) {
        step(stop);
        progress.healthy();
    }
}

void Repair::step(const std::stop_token& stop) {
    ask_for_due_items();
    for (const StoreId& store : stores_) {
        const auto gap = registry_.gap(store);
        Schedule& schedule = schedules_[store];
        if (!gap) {
            schedule = {};
            beyond_repair_.with([&](auto& stores) { stores.erase(store); });
        } else if (schedule.is_equal && schedule.passed == gap->at) {
            mend_once_rows_came(store, *gap, schedule);
        } else if (clock_.steady_now() >= schedule.due) {
            look_again(store, *gap, schedule, stop);
        }
    }
}

void Repair::look_again(const StoreId& store, const Registry::Gap& gap, Schedule& schedule,
                        const std::stop_token& stop) {
    const SteadyTime begun = clock_.steady_now();
    const bool asks = begun >= schedule.ask_due;
    if (asks) {
        schedule.ask_due = begun + Backoff::after(++schedule.tries, first_retry, slowest_retry);
    }
    const auto before = schedule.lasting;
    mend(store, gap, schedule, asks, stop);
    const bool comes = before && schedule.lasting && schedule.lasting->size() < before->size();
    schedule.idle = asks || comes ? 0 : schedule.idle + 1;
    // What was asked for comes, most likely: it is looked for soon, and less and less often where
    // nothing does. But a look reads the whole inventory, which must not be most of what the
    // primary does.
    const SteadyTime ended = clock_.steady_now();
    const SteadyTime::duration pause =
        Backoff::after(schedule.idle + 1, first_retry, slowest_retry);
    schedule.due = std::min(schedule.ask_due, ended + std::max(pause, 4 * (ended - begun)));
}

bool Repair::is_beyond_repair(const StoreId& store, Lsn applied) const {
    return beyond_repair_.with([&](const auto& stores) {
        const auto found = stores.find(store);
        return found != stores.end() && found->second == applied;
    });
}

void Repair::send(const StoreId& store, const std::vector<std::string>& items,
                  const std::string& reason) {
    v1::Want want;
    want.set_site(site_);
    want.set_store(store.to_string());
    want.set_reason(reason);
    for (const std::string& item : items) {
        want.add_items(item);
    }
    send_(want);
}

void Repair::ask_for_due_items() {
    const TimePoint now = clock_.now();
    if (now < std::exchange(looked_at_, now)) {
        // The clock was set back, and what is due is due: not in hours.
        for (const StoreId& store : stores_) {
            registry_.try_now(store, now);
        }
    }
    std::map<StoreId, std::vector<Exception>> due;
    for (Exception& exception : registry_.due(now, items_per_request)) {
        due[exception.store].push_back(std::move(exception));
    }
    for (const auto& [store, exceptions] : due) {
        std::vector<std::string> items;
        for (const Exception& exception : exceptions) {
            items.push_back(exception.item);
        }
        send(store, items, "another try");
        for (const Exception& exception : exceptions) {
            registry_.tried(
                store, exception.item,
                now + Backoff::after(exception.tries + 1, first_retry, slowest_item_retry));
        }
    }
}

void Repair::mend(const StoreId& store, const Registry::Gap& gap, Schedule& schedule, bool asks,
                  const std::stop_token& stop) {
    if (store.kind == StoreKind::Database && !asks) {
        return;
    }
    if (store.kind == StoreKind::Database) {
        v1::Want want;
        want.set_site(site_);
        want.set_store(store.to_string());
        const Lsn applied = applied_lsn_(store);
        want.set_from_lsn(applied.value);
        want.set_reason("a gap");
        const bool sent = send_(want);
        beyond_repair_.with([&](auto& stores) {
            if (sent) {
                stores.erase(store);
            } else {
                stores[store] = applied;
            }
        });
        return;
    }
    const Differences differing = differences(store, gap, schedule, stop);
    remember(differing, gap, schedule);
    if (gap.passed && differing.missing.empty()) {
        let_rows_pass(store, gap, schedule, stop);
        schedule.is_equal = differing.surplus.empty();
        if (schedule.is_equal) {
            mend_once_rows_came(store, gap, schedule);
        }
    }
    if (asks) {
        ask_for(store, differing.missing);
        ask_for(store, differing.surplus);
    }
}

void Repair::let_rows_pass(const StoreId& store, const Registry::Gap& gap, Schedule& schedule,
                           const std::stop_token& stop) {
    if (schedule.passed != gap.at) {
        schedule.rows_until = published_through(store, stop);
        schedule.passed = gap.at;
    }
    registry_.let_rows_pass(store, gap.at);
}

/// What was made and removed again within the gap comes never, and the rows that named it do. Until
/// those are removed again, too, the gap is told.
void Repair::mend_once_rows_came(const StoreId& store, const Registry::Gap& gap,
                                 const Schedule& schedule) {
    const bool came = std::all_of(stores_.begin(), stores_.end(), [&](const StoreId& other) {
        return other.kind != StoreKind::Database ||
               (!registry_.gap(other) && registry_.lane(other).finished >= schedule.rows_until);
    });
    if (came) {
        spdlog::info("{}: equal to the primary's inventory; the gap is mended", store.to_string());
        registry_.mend_gap(store, gap.at);
    }
}

/// The end of what is in the primary's inventory. The origin: an older primary does not tell.
Position Repair::published_through(const StoreId& store, const std::stop_token& stop) {
    std::string head;
    const auto answer = primary_.get(
        {store.to_string() + "/inventory/items", {{"buckets", ""}}}, 0, {},
        [&](std::string_view chunk) { head += chunk; }, stop);
    if (!answer.found) {
        return {};
    }
    const auto position = Position::parse(head.substr(0, head.find_first_of(" \n")));
    if (!position) {
        throw Error(Reaction::Retry, "the primary's answer of items is malformed");
    }
    return *position;
}

void Repair::ask_for(const StoreId& store, const std::vector<std::string>& items) {
    if (!items.empty()) {
        spdlog::info("{}: {} items differ from the primary's inventory and are asked for again",
                     store.to_string(), items.size());
    }
    for (size_t begin = 0; begin < items.size(); begin += items_per_request) {
        const size_t end = std::min(items.size(), begin + items_per_request);
        send(store,
             {items.begin() + static_cast<ptrdiff_t>(begin),
              items.begin() + static_cast<ptrdiff_t>(end)},
             "a gap");
    }
}

void Repair::remember(const Differences& differing, const Registry::Gap& gap, Schedule& schedule) {
    const bool all =
        differing.missing.size() < items_per_look && differing.surplus.size() < items_per_look;
    schedule.lasting.reset();
    if (gap.passed && all) {
        schedule.lasting.emplace(differing.missing.begin(), differing.missing.end());
        schedule.lasting->insert(differing.surplus.begin(), differing.surplus.end());
        schedule.looked_behind = gap.at;
    }
}

Repair::Differences Repair::differences(const StoreId& store, const Registry::Gap& gap,
                                        const Schedule& schedule, const std::stop_token& stop) {
    std::map<std::string, ItemState> here;
    registry_.for_each(
        store, [&](const std::string& item, const ItemState& state) { here.emplace(item, state); });
    Differences differing;
    // While the application writes, some items are always on their way.
    const bool again = schedule.lasting && schedule.looked_behind == gap.at;
    const auto may_lack = [&](const std::string& item, const ItemState* state) {
        const bool came_later = gap.passed && state != nullptr && state->position > gap.at;
        return !came_later && (!again || schedule.lasting->contains(item)) &&
               !registry_.is_awaited(store, item);
    };
    protocol::InventoryReader reader([&](const std::string& item, const Digest& digest) {
        const auto found = here.find(item);
        const ItemState* const state = found == here.end() ? nullptr : &found->second;
        const bool equal = state != nullptr && state->digest == digest;
        if (!equal && differing.missing.size() < items_per_look && may_lack(item, state)) {
            differing.missing.push_back(item);
        }
        if (found != here.end()) {
            here.erase(found);
        }
    });
    const auto answer = primary_.get(
        {store.to_string() + "/inventory", {}}, 0, {},
        [&](std::string_view chunk) { reader.feed(chunk); }, stop);
    if (!answer.found) {
        throw Error(Reaction::Retry,
                    "the primary has no inventory of " + store.to_string() + " yet",
                    "check that the store is in the primary's configuration");
    }
    reader.finish();
    for (const auto& [item, state] : here) {
        if (differing.surplus.size() < items_per_look && may_lack(item, &state)) {
            differing.surplus.push_back(item);
        }
    }
    return differing;
}

}  // namespace antipode::secondary
