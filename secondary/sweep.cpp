#include "secondary/sweep.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/background.hpp"
#include "base/backoff.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t items_at_once = 64;
constexpr size_t suspiciously_many = 20;
constexpr std::chrono::seconds record_interval(2);
/// An item that cannot be looked at does not hold up the others.
/// What could not be read, doubling: a disk that failed for a moment is no reason to let whoever
/// asks for a look wait.
constexpr std::chrono::seconds first_postponed_for(5);
constexpr std::chrono::minutes most_postponed_for(10);
constexpr size_t most_failed_looks = 16;  ///< one after the other
constexpr std::chrono::milliseconds look_interval(1000);
constexpr std::chrono::milliseconds lane_interval(50);
/// Sleeping for less is not worth it.
constexpr uint64_t least_paced_ms = 20;

bool differs(const Look& look, const ItemState& state) {
    return !look.problem.empty() || look.digest != state.digest ||
           look.attributes.contradict(state.attributes);
}

std::string describe(const Look& look, const ItemState& state) {
    if (!look.problem.empty()) {
        return look.problem;
    }
    if (look.digest == state.digest) {
        return "it has " + look.attributes.to_string() + " here, what was applied is " +
               state.attributes.to_string();
    }
    return look.digest.empty() ? "it is missing here"
                               : "its content here is " + look.digest.to_string() +
                                     ", what was applied is " + state.digest.to_string();
}

}  // namespace

Sweep::Sweep(Options options, ItemLook& items, Registry& registry, Lane lane, const Clock& clock)
    : options_(std::move(options)),
      items_(items),
      registry_(registry),
      lane_(std::move(lane)),
      clock_(clock) {}

void Sweep::run(const std::stop_token& stop, Worker::Progress progress) {
    be_nice();
    while (!stop.stop_requested()) {
        const bool any = step(stop) || look_for_extras(stop);
        if (postponed_.empty()) {
            progress.healthy();
        } else {
            progress.waiting_for(postponed_.begin()->second.why,
                                 postponed_.begin()->second.next_step);
        }
        if (!any) {
            sleep_unless_stopped(look_interval, stop);
        }
    }
}

bool Sweep::step(const std::stop_token& stop) {
    registry_.begin_looks(options_.store);
    const std::vector<std::string> due = due_items();
    if (due.empty()) {
        return false;
    }
    const std::vector<Suspect> suspects = look_at(due, stop);
    const auto gone = std::count_if(suspects.begin(), suspects.end(), [](const Suspect& suspect) {
        return suspect.look.problem.empty() && suspect.look.digest.empty();
    });
    if (static_cast<size_t>(gone) == due.size()) {
        require_disk(stop);
    }
    if (!suspects.empty()) {
        wait_for_what_is_coming([&] { return doubts_of(suspects); }, stop);
        judge(suspects, stop);
    }
    return true;
}

std::vector<std::string> Sweep::due_items() {
    const SteadyTime now = clock_.steady_now();
    // Those whose time has come are kept for a while: how often they failed counts.
    std::erase_if(postponed_,
                  [&](const auto& item) { return item.second.until + most_postponed_for <= now; });
    const TimePoint since =
        options_.every.count() == 0 ? TimePoint{} : clock_.now() - options_.every;
    auto due = registry_.due_for_look(options_.store, since, items_at_once + postponed_.size());
    std::erase_if(due, [&](const std::string& item) {
        const auto postponed = postponed_.find(item);
        return postponed != postponed_.end() && postponed->second.until > now;
    });
    due.resize(std::min(due.size(), items_at_once));
    return due;
}

/// Where many items should be and nothing is at all, it is the disk that is missing.
void Sweep::require_disk(const std::stop_token& stop) {
    const uint64_t count = registry_.count(options_.store);
    bool any = false;
    items_.for_each(
        [&](const std::string&) {
            any = true;
            return false;
        },
        stop);
    if (!any && count >= suspiciously_many) {
        throw Error(Reaction::Retry,
                    "none of " + std::to_string(count) + " items of " + options_.store.to_string() +
                        " is here",
                    "mount its file system; where they are lost: antipode resync --all --store " +
                        options_.store.to_string());
    }
}

std::vector<Sweep::Suspect> Sweep::look_at(const std::vector<std::string>& items,
                                           const std::stop_token& stop) {
    std::vector<Suspect> suspects;
    std::vector<Registry::Looked> right;
    SteadyTime recorded = clock_.steady_now();
    const auto record = [&] {
        registry_.looked_at(options_.store, right);
        right.clear();
        recorded = clock_.steady_now();
    };
    try {
        for (const std::string& item : items) {
            const auto state = registry_.find(options_.store, item);
            if (!state || state->digest.empty()) {
                continue;
            }
            Suspect suspect{item, *state, {}};
            const auto is_right = look_at(suspect, stop);
            if (is_right == true) {
                right.push_back({item, state->unproven_since});
            } else if (is_right == false) {
                suspects.push_back(std::move(suspect));
            }
            if (clock_.steady_now() - recorded > record_interval) {
                record();
            }
        }
    } catch (...) {
        record();
        throw;
    }
    record();
    return suspects;
}

/// Whether it is as it should be; nullopt: it could not be looked at, and is later.
std::optional<bool> Sweep::look_at(Suspect& suspect, const std::stop_token& stop) {
    registry_.begin_look(options_.store, suspect.item);
    try {
        const IdleDisk idle;
        suspect.look = items_.look(
            suspect.item, [&](uint64_t bytes) { pace(bytes, stop); }, stop);
    } catch (const Error& error) {
        if (++failed_looks_ >= most_failed_looks) {
            failed_looks_ = 0;
            throw;  // that is not one item's
        }
        Postponed& postponed = postponed_[suspect.item];
        postponed.until =
            clock_.steady_now() +
            Backoff::after(++postponed.tries, first_postponed_for, most_postponed_for);
        postponed.why = error.what();
        postponed.next_step = error.next_step();
        return std::nullopt;
    }
    failed_looks_ = 0;
    postponed_.erase(suspect.item);
    status_.with([](auto& status) { ++status.looked; });
    return !differs(suspect.look, suspect.state);
}

/// What was applied meanwhile was looked at by that.
std::string Sweep::doubts_of(const std::vector<Suspect>& suspects) const {
    const auto count = std::count_if(suspects.begin(), suspects.end(), [&](const Suspect& suspect) {
        const auto now = registry_.find(options_.store, suspect.item);
        return now && now->position == suspect.state.position;
    });
    const std::string store = options_.store.to_string();
    return count == 0 ? ""
                      : counted(static_cast<size_t>(count), "item of " + store + " differs",
                                "items of " + store + " differ") +
                            " from what was applied, or a change is on its way";
}

std::string Sweep::doubts_of(const std::vector<std::string>& extras) const {
    const auto count = std::count_if(extras.begin(), extras.end(),
                                     [&](const std::string& name) { return is_unknown(name); });
    const std::string store = options_.store.to_string();
    return count == 0 ? ""
                      : counted(static_cast<size_t>(count), "item of " + store + " is",
                                "items of " + store + " are") +
                            " here and were never applied, or are on their way";
}

void Sweep::wait_for_what_is_coming(const std::function<std::string()>& doubts,
                                    const std::stop_token& stop) {
    const Position newest = lane_.newest();
    const SteadyTime end = clock_.steady_now() + options_.patience;
    while (lane_.finished() <= newest) {
        if (clock_.steady_now() >= end) {
            const std::string text = doubts();
            if (text.empty()) {
                return;
            }
            throw Error(Reaction::Retry, text + ": the primary, or apply, is silent",
                        "antipode status");
        }
        if (sleep_unless_stopped(lane_interval, stop)) {
            throw Stopped{};
        }
    }
}

void Sweep::judge(const std::vector<Suspect>& suspects, const std::stop_token& stop) {
    std::vector<Registry::Looked> right;
    for (Suspect suspect : suspects) {
        const auto now = registry_.find(options_.store, suspect.item);
        if (!now || registry_.is_awaited(options_.store, suspect.item)) {
            continue;  // it is looked at another time
        }
        // Where it changed, apply looked at what it became; but what was there before may be
        // broken. That it was published again, unchanged, shows nothing.
        const bool is_other = now->digest != suspect.state.digest;
        if (!is_other || !suspect.look.problem.empty()) {
            suspect.state = *now;
            const auto is_right = look_at(suspect, stop);
            if (!is_right) {
                continue;
            }
            if (!*is_right) {
                // Asked first: once it is applied, it is recorded.
                const bool is_applied_just_now = lane_.is_applying(suspect.item);
                const auto then = registry_.find(options_.store, suspect.item);
                const bool held_still =
                    !is_applied_just_now && then && then->position == now->position;
                if (held_still || !suspect.look.problem.empty()) {
                    report(suspect);
                    continue;
                }
                if (!then || then->digest == now->digest) {
                    continue;  // it is looked at another time
                }
            }
        }
        right.push_back({suspect.item, suspect.state.unproven_since});
    }
    registry_.looked_at(options_.store, right);
}

void Sweep::report(const Suspect& suspect) {
    const std::string what = describe(suspect.look, suspect.state);
    spdlog::error("{}: {}: found by a check of its content: {}", options_.store.to_string(),
                  printable(suspect.item), what);
    status_.with(
        [&](auto& status) { status.last_differing = printable(suspect.item) + ": " + what; });
    const TimePoint now = clock_.now();
    registry_.differs({.store = options_.store,
                       .item = suspect.item,
                       .kind = ExceptionKind::Parked,
                       .failure = FailureClass::LocalDefect,
                       .reason = "found by a check of its content: " + what,
                       .next_step = {},
                       .position = suspect.state.position,
                       .since = now,
                       .tries = 0,
                       .next_try = now},
                      Registry::FoundBy::Reading);
}

void Sweep::seen(const std::string& name, bool here) {
    seen_.with([&](auto& seen) {
        if (seen.size() < most_extras) {
            seen[name] = here;
        }
    });
}

bool Sweep::look_for_extras(const std::stop_token& stop) {
    const SteadyTime now = clock_.steady_now();
    const uint64_t asked = registry_.looks_asked(options_.store);
    const bool due =
        options_.every.count() > 0 && (!extras_at_ || now - *extras_at_ >= options_.every);
    if (registry_.gap(options_.store)) {
        return false;  // behind a gap nobody knows what was applied
    }
    if (!due && asked == status_.copy().names_looked) {
        return judge_seen(stop);
    }
    std::vector<std::string> extras = unknown_names(stop);
    if (!extras.empty()) {
        wait_for_what_is_coming([&] { return doubts_of(extras); }, stop);
        const std::vector<std::string> still = unknown_names(stop);
        std::erase_if(extras, [&](const std::string& name) {
            return std::find(still.begin(), still.end(), name) == still.end();
        });
    }
    set_extras({extras.begin(), extras.end()});
    status_.with([&](auto& status) { status.names_looked = asked; });
    extras_at_ = now;
    return true;
}

/// What was seen since the last look, without looking through everything.
bool Sweep::judge_seen(const std::stop_token& stop) {
    const auto all = seen_.copy();
    if (all.empty()) {
        return false;
    }
    auto seen = all;
    std::set<std::string> extras = extras_;
    std::erase_if(seen, [&](const auto& name) { return name.second && !is_unknown(name.first); });
    std::vector<std::string> here;
    for (const auto& [name, is_here] : seen) {
        if (is_here) {
            here.push_back(name);
        }
    }
    if (!here.empty()) {
        wait_for_what_is_coming([&] { return doubts_of(here); }, stop);
    }
    for (const auto& [name, is_here] : seen) {
        if (!is_here) {
            std::erase_if(extras, [&](const std::string& extra) {
                return extra == name || extra.starts_with(name + "/");
            });
        } else if (is_unknown(name) && extras.size() < most_extras) {
            extras.insert(name);
        }
    }
    std::erase_if(extras, [&](const std::string& extra) { return !is_unknown(extra); });
    if (!extras.empty() || !extras_.empty()) {
        set_extras(std::move(extras));
    }
    seen_.with([&](auto& now) {
        std::erase_if(now, [&](const auto& name) {
            const auto judged = all.find(name.first);
            return judged != all.end() && judged->second == name.second;
        });
    });
    return true;
}

void Sweep::set_extras(std::set<std::string> extras) {
    const bool news = std::any_of(extras.begin(), extras.end(),
                                  [&](const auto& extra) { return !extras_.contains(extra); });
    extras_ = std::move(extras);
    if (news) {
        spdlog::warn("{}: {} here and never applied, {} first", options_.store.to_string(),
                     counted(extras_.size(), "item is", "items are"), printable(*extras_.begin()));
    }
    status_.with([&](auto& status) {
        status.extras = extras_.size();
        status.first_extra = extras_.empty() ? "" : printable(*extras_.begin());
    });
}

std::vector<std::string> Sweep::unknown_names(const std::stop_token& stop) {
    std::vector<std::string> names;
    items_.for_each(
        [&](const std::string& name) {
            if (is_unknown(name)) {
                names.push_back(name);
            }
            return names.size() < most_extras;
        },
        stop);
    std::sort(names.begin(), names.end());
    return names;
}

bool Sweep::is_unknown(const std::string& name) const {
    const auto state = registry_.find(options_.store, name);
    return (!state || state->digest.empty()) && !options_.excludes(name) &&
           !registry_.is_exception(options_.store, name);
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
        if (sleep_unless_stopped(std::chrono::milliseconds(milliseconds), stop)) {
            throw Stopped{};
        }
    }
}

}  // namespace antipode::secondary
