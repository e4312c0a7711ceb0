/// Small contents: pulled many at a time into memory, written to disk when nobody takes them.
#include <algorithm>
#include <utility>

#include "base/limits.hpp"
#include "secondary/pulls.hpp"
#include "secondary/small_contents.hpp"

namespace antipode::secondary {
namespace {

/// What is held goes to disk when its store has applied nothing for so long,
constexpr std::chrono::seconds patience(1);
/// or when others of its store overtake it for so long.
constexpr std::chrono::seconds most_patience(10);

}  // namespace

bool Pulls::pull_some_together(BulkSource& primary, const std::stop_token& stop) {
    const Together batch = begin_together();
    if (batch.keys.empty()) {
        return false;
    }
    const StoreId& store = batch.keys.front().store;
    wake_.poke();  // others may pull large ones
    try {
        finish_together(batch, pull_together(store, batch.contents, primary, stop));
    } catch (const Error& error) {
        give_back(batch, error);
        throw;
    } catch (...) {
        give_back(batch, std::nullopt);
        throw;
    }
    wake_.poke();
    on_arrival_(store);
    return true;
}

/// One request at a time: while it runs, the next ones gather. The stores take turns.
Pulls::Together Pulls::begin_together() {
    return shared_.with([&](Shared& shared) {
        Together batch;
        if (shared.small_running) {
            return batch;
        }
        const SteadyTime now = clock_.steady_now();
        auto next = shared.stores.upper_bound(shared.last_pulled_together);
        for (size_t i = 0; i < shared.stores.size() && batch.keys.empty(); ++i, ++next) {
            if (next == shared.stores.end()) {
                next = shared.stores.begin();
            }
            OfStore& of_store = next->second;
            if (now >= of_store.rest_until && has_room(shared, of_store)) {
                batch = take_together(shared, of_store);
                if (!batch.keys.empty()) {
                    of_store.begin_try(now);
                    shared.last_pulled_together = next->first;
                    shared.small_running = true;
                }
            }
        }
        return batch;
    });
}

/// One store alone, which may be paused, leaves room for the others.
bool Pulls::has_room(const Shared& shared, const OfStore& of_store) const {
    const uint64_t most = stores_.size() > 1 ? most_held_bytes_ / 2 : most_held_bytes_;
    return of_store.held_bytes + limits::contents_bytes <= most &&
           shared.held_bytes() + limits::contents_bytes <= most_held_bytes_;
}

Pulls::Together Pulls::take_together(Shared& shared, OfStore& of_store) const {
    Together batch;
    uint64_t bytes = 0;
    const size_t most = of_store.failed ? 1 : limits::contents_at_once;
    while (!of_store.small_queue.empty() && batch.keys.size() < most) {
        const Key key = of_store.small_queue.front();
        const auto found = shared.entries.find(key);
        if (found == shared.entries.end() || found->second.outcome || found->second.running) {
            of_store.small_queue.pop_front();
            continue;
        }
        Entry& entry = found->second;
        if (bytes + entry.content.size() > limits::contents_bytes) {
            break;
        }
        of_store.small_queue.pop_front();
        if (entry.wanted_by.empty()) {
            shared.let_go(entry);
            shared.entries.erase(found);
            continue;
        }
        bytes += entry.content.size();
        entry.running = true;
        batch.keys.push_back(key);
        batch.contents.push_back(entry.content);
    }
    return batch;
}

uint64_t Pulls::Shared::held_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [store, of_store] : stores) {
        bytes += of_store.held_bytes;
    }
    return bytes;
}

/// None of it can be saved: it is pulled again, and its room is others'.
void Pulls::Shared::let_go_of_held(OfStore& of_store) {
    for (const OfStore::Held& held : std::exchange(of_store.held, {})) {
        const auto found = entries.find(held.key);
        if (found != entries.end() && found->second.held() && !found->second.running) {
            of_store.held_bytes -= found->second.content.size();
            found->second.outcome.reset();
            of_store.small_queue.push_back(held.key);
        }
    }
}

void Pulls::Shared::forget_applied(OfStore& of_store) const {
    const auto is_held = [&](const Key& key) {
        const auto found = entries.find(key);
        return found != entries.end() && found->second.held() && !found->second.running;
    };
    while (!of_store.held.empty() && !is_held(of_store.held.front().key)) {
        of_store.held.pop_front();
    }
}

std::optional<Pulls::Key> Pulls::Shared::take_waiting(SteadyTime now) {
    for (auto& [store, of_store] : stores) {
        forget_applied(of_store);
        if (of_store.held.empty() || now < of_store.rest_until) {
            continue;
        }
        const auto [key, since] = of_store.held.front();
        if (now - std::max(since, of_store.applied_at) >= patience ||
            now - since >= most_patience) {
            of_store.held.pop_front();
            of_store.begin_try(now);
            return key;
        }
    }
    return std::nullopt;
}

void Pulls::finish_together(const Together& batch,
                            const std::vector<std::shared_ptr<const std::string>>& pulled) {
    shared_.with([&](Shared& shared) {
        shared.small_running = false;
        const SteadyTime now = clock_.steady_now();
        OfStore& of_store = shared.stores[batch.keys.front().store];
        shared.forget_applied(of_store);
        for (size_t i = 0; i < batch.keys.size(); ++i) {
            const Key& key = batch.keys[i];
            Entry& entry = shared.entries.at(key);
            entry.running = false;
            entry.problem.reset();
            if (!pulled[i]) {
                of_store.queue.push_back(key);  // alone: then it is told what became of it
            } else if (entry.wanted_by.empty()) {
                shared.let_go(entry);
                shared.entries.erase(key);
            } else {
                entry.outcome = ContentStore::Here{{}, {}, pulled[i]};
                of_store.held_bytes += entry.content.size();
                of_store.held.push_back({key, now});
            }
        }
    });
}

void Pulls::give_back(const Together& batch, const std::optional<Error>& problem) {
    shared_.with([&](Shared& shared) {
        shared.small_running = false;
        const StoreId& store = batch.keys.front().store;
        shared.mark_tried(store, problem.has_value(), clock_.steady_now());
        for (const Key& key : batch.keys) {
            Entry& entry = shared.entries.at(key);
            entry.running = false;
            entry.problem = std::exchange(entry.is_old_try, false) ? std::nullopt : problem;
            shared.stores[store].small_queue.push_back(key);
        }
    });
}

/// Nobody applies what is held (the store is paused, rows are to come before): it is made safe, and
/// makes room for more. False: there is nothing to do.
bool Pulls::save_one(const std::stop_token& stop) {
    struct Saving {
        Key key;
        v1::Content content;
        std::shared_ptr<const std::string> bytes;
    };
    const auto saving = shared_.with([&](Shared& shared) -> std::optional<Saving> {
        const auto key = shared.take_waiting(clock_.steady_now());
        if (!key) {
            return std::nullopt;
        }
        Entry& entry = shared.entries.at(*key);
        entry.running = true;
        return Saving{*key, entry.content, entry.held()};
    });
    if (!saving) {
        return false;
    }
    const auto give_up = [&](const std::optional<Error>& problem) {
        shared_.with([&](Shared& shared) {
            OfStore& of_store = shared.stores[saving->key.store];
            shared.mark_tried(saving->key.store, problem.has_value(), clock_.steady_now());
            Entry& entry = shared.entries.at(saving->key);
            entry.running = false;
            entry.problem = problem;
            if (entry.wanted_by.empty()) {
                shared.let_go(entry);
                shared.entries.erase(saving->key);
            } else {
                of_store.held.push_back({saving->key, clock_.steady_now()});
            }
            if (problem) {
                shared.let_go_of_held(of_store);
            }
        });
    };
    try {
        shared_.with([](Shared& shared) { shared.others_first = true; });
        finish(saving->key,
               stores_.at(saving->key.store)->save(saving->content, *saving->bytes, stop));
    } catch (const Error& error) {
        give_up(error);
        throw;
    } catch (...) {
        give_up(std::nullopt);
        throw;
    }
    return true;
}

}  // namespace antipode::secondary
