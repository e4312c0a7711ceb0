#include "secondary/inventory_check.hpp"

#include <algorithm>
#include <sstream>

#include <spdlog/spdlog.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/inventory_reader.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::milliseconds step_interval(200);
/// While nothing is under way.
constexpr std::chrono::milliseconds rest_interval(1000);
/// So many rows of this site are read again in a step: 500 in a second, and not all of a small
/// store all the time.
constexpr size_t rows_at_once = 100;
constexpr std::chrono::seconds round_interval(5);
constexpr size_t buckets_at_once = 8;
/// So long an answer waits until everything before it is finished here.
constexpr std::chrono::seconds patience(60);
constexpr size_t answer_bytes = 256 * limits::mib;

}  // namespace

InventoryCheck::InventoryCheck(Options options, Registry& registry, BulkSource& primary,
                               const Clock& clock)
    : options_(std::move(options)), registry_(registry), primary_(primary), clock_(clock) {}

void InventoryCheck::run(const std::stop_token& stop, Worker::Progress progress) {
    while (!sleep_unless_stopped(until_next_step(), stop)) {
        step(stop);
        progress.healthy();
    }
}

std::chrono::milliseconds InventoryCheck::until_next_step() const {
    const bool rests = std::none_of(watches_.begin(), watches_.end(),
                                    [](const auto& watch) { return watch.second.is_under_way(); });
    return rests ? std::min(rest_interval, options_.interval) : step_interval;
}

void InventoryCheck::step(const std::stop_token& stop) {
    for (const StoreId& store : options_.stores) {
        look(store, stop);
    }
}

InventoryCheck::Status InventoryCheck::status(const StoreId& store) const {
    return status_.with([&](const auto& all) {
        const auto found = all.find(store);
        return found == all.end() ? Status{} : found->second;
    });
}

template <typename Change>
void InventoryCheck::change_status(const StoreId& store, Change change) {
    status_.with([&](auto& all) { change(all[store]); });
}

void InventoryCheck::look(const StoreId& store, const std::stop_token& stop) {
    Watch& watch = watches_[store];
    if (registry_.gap(store)) {
        watch = {};
        return;
    }
    read_rows(store, watch);
    const SteadyTime now = clock_.steady_now();
    const auto has_finished = [&](const Position& position) {
        return registry_.lane(store).finished >= position;
    };
    if (watch.items) {
        if (has_finished(watch.items->position)) {
            compare_items(store, watch);
        } else if (now - watch.items->since > patience) {
            watch.items.reset();
        }
    } else if (watch.sums) {
        if (has_finished(watch.sums->answer.position)) {
            compare_sums(store, watch, stop);
        } else if (now - watch.sums->since > patience) {
            watch.sums.reset();
        }
    } else if (!watch.damaged.empty()) {
        ask_items(store, watch, std::exchange(watch.damaged, {}), stop);
    } else if (now >= watch.due) {
        watch.due = now + options_.interval;
        ask_sums(store, watch, stop);
    }
}

/// A row that changed by itself has left its mark in no sum.
void InventoryCheck::read_rows(const StoreId& store, Watch& watch) {
    const SteadyTime now = clock_.steady_now();
    if (watch.round_ended) {
        if (watch.round_began && now - *watch.round_began < round_interval) {
            return;
        }
        watch.round_began = now;
    }
    const auto checked = registry_.check_sums(store, rows_at_once);
    watch.round_ended = checked.ended;
    if (checked.damaged.empty()) {
        return;
    }
    spdlog::error("{}: {} of this site's state changed by themselves; their items are compared",
                  store.to_string(), checked.damaged.size());
    change_status(store, [&](Status& status) { status.damaged += checked.damaged.size(); });
    for (const uint32_t bucket : checked.damaged) {
        registry_.rebuild_sum(store, bucket);
        watch.damaged.insert(bucket);
    }
}

std::optional<std::string> InventoryCheck::get(const BulkRequest& request,
                                               const std::stop_token& stop) {
    std::string text;
    const auto answer = primary_.get(
        request, 0, {},
        [&](std::string_view chunk) {
            text += chunk;
            if (text.size() > answer_bytes) {
                throw Error(Reaction::Retry, "the primary's answer is too large");
            }
        },
        stop);
    return answer.found ? std::optional(text) : std::nullopt;
}

void InventoryCheck::ask_sums(const StoreId& store, Watch& watch, const std::stop_token& stop) {
    const verify::InventorySum here = registry_.total(store);
    const auto text =
        get({store.to_string() + "/inventory/sums", {{"known", here.to_string()}}}, stop);
    if (!text) {
        watch.due = clock_.steady_now() + options_.again_in;  // an older primary has none
        return;
    }
    Sums sums{verify::decode_sums(*text), clock_.steady_now()};
    if (sums.answer.equal) {
        const TimePoint now = clock_.now();
        watch.asked.clear();
        watch.busy.clear();
        change_status(store, [&](Status& status) {
            status.equal_at = now;
            status.undecided = 0;
        });
        return;
    }
    watch.sums = std::move(sums);
}

void InventoryCheck::compare_sums(const StoreId& store, Watch& watch, const std::stop_token& stop) {
    const verify::SumsAnswer answer = std::move(watch.sums->answer);
    watch.sums.reset();
    const std::set<uint32_t> unsure(answer.unsure.begin(), answer.unsure.end());
    const auto here = registry_.sums(store);
    std::set<uint32_t> wrong;
    uint64_t undecided = 0;
    for (uint32_t bucket = 0; bucket < here.size(); ++bucket) {
        const auto published = answer.buckets.find(bucket);
        const bool equal =
            here[bucket].sum ==
            (published == answer.buckets.end() ? verify::InventorySum{} : published->second);
        if (!unsure.contains(bucket) && equal) {
            watch.asked.erase(bucket);
            watch.busy.erase(bucket);
            continue;
        }
        ++undecided;
        if (!unsure.contains(bucket) && wrong.size() < buckets_at_once &&
            is_wrong(watch, bucket, here[bucket].newest > answer.position)) {
            wrong.insert(bucket);
        }
    }
    const TimePoint time = clock_.now();
    change_status(store, [&](Status& status) {
        status.undecided = undecided;
        status.equal_at = undecided == 0 ? time : status.equal_at;
    });
    if (!wrong.empty()) {
        ask_items(store, watch, std::move(wrong), stop);
    }
}

bool InventoryCheck::is_wrong(Watch& watch, uint32_t bucket, bool busy) const {
    const SteadyTime now = clock_.steady_now();
    if (!busy) {
        watch.busy.erase(bucket);
    } else if (now - watch.busy.try_emplace(bucket, now).first->second < options_.again_in) {
        return false;
    }
    const auto asked = watch.asked.find(bucket);
    return asked == watch.asked.end() || now - asked->second > options_.again_in;
}

void InventoryCheck::ask_items(const StoreId& store, Watch& watch, std::set<uint32_t> buckets,
                               const std::stop_token& stop) {
    while (buckets.size() > buckets_at_once) {
        watch.damaged.insert(*buckets.begin());  // these another time
        buckets.erase(buckets.begin());
    }
    std::string list;
    for (const uint32_t bucket : buckets) {
        watch.asked[bucket] = clock_.steady_now();
        list += (list.empty() ? "" : ",") + std::to_string(bucket);
    }
    const std::string text =
        get({store.to_string() + "/inventory/items", {{"buckets", list}}}, stop).value_or("");
    const size_t end = text.find('\n');
    std::istringstream head(text.substr(0, end));
    std::string position;
    head >> position;
    const auto parsed = Position::parse(position);
    if (end == std::string::npos || !parsed) {
        throw Error(Reaction::Retry, "the primary's answer of items is malformed");
    }
    Items items{*parsed, std::move(buckets), {}, clock_.steady_now()};
    for (uint32_t unsure = 0; head >> unsure;) {
        items.buckets.erase(unsure);
    }
    protocol::InventoryReader reader(
        [&](const std::string& item, const Digest& digest) { items.items[item] = digest; });
    reader.feed(std::string_view(text).substr(end + 1));
    reader.finish();
    watch.items = std::move(items);
}

void InventoryCheck::compare_items(const StoreId& store, Watch& watch) {
    const Items primary = std::move(*watch.items);
    watch.items.reset();
    for (const auto& [item, digest] : primary.items) {
        judge(store, primary, item, digest);
    }
    for (const uint32_t bucket : primary.buckets) {
        for (const auto& [item, state] : registry_.bucket(store, bucket)) {
            if (!primary.items.contains(item)) {
                judge(store, primary, item, {});
            }
        }
    }
}

void InventoryCheck::judge(const StoreId& store, const Items& primary, const std::string& item,
                           const Digest& published) {
    const auto here = registry_.find(store, item);
    const Digest digest = here ? here->digest : Digest{};
    if (digest == published || (here && here->position > primary.position) ||
        registry_.is_exception(store, item)) {
        return;
    }
    const std::string what = "this site's inventory says " + digest.to_string() +
                             ", the primary's " + published.to_string();
    spdlog::error("{}: {}: found by comparing inventories: {}", store.to_string(), printable(item),
                  what);
    change_status(store, [&](Status& status) {
        ++status.differed;
        status.last_differing = printable(item) + ": " + what;
    });
    const TimePoint now = clock_.now();
    registry_.differs({.store = store,
                       .item = item,
                       .kind = ExceptionKind::Parked,
                       .failure = FailureClass::LocalDefect,
                       .reason = "found by comparing inventories: " + what,
                       .next_step = {},
                       .position = here ? here->position : registry_.lane(store).finished,
                       .since = now,
                       .tries = 0,
                       .next_try = now},
                      Registry::FoundBy::Inventories);
}

}  // namespace antipode::secondary
