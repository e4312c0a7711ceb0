/// Small contents: pulled many at a time into memory, written to disk when nobody takes them.
#include <algorithm>

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

/// One request at a time: while it runs, the next ones gather.
Pulls::Together Pulls::begin_together() {
    return shared_.with([&](Shared& shared) {
        Together batch;
        uint64_t bytes = 0;
        const bool room = shared.held_bytes + limits::contents_bytes <= most_held_bytes_;
        while (room && !shared.small_running && !shared.small_queue.empty() &&
               batch.keys.size() < limits::contents_at_once) {
            const Key key = shared.small_queue.front();
            const auto found = shared.entries.find(key);
            if (found == shared.entries.end() || found->second.outcome || found->second.running) {
                shared.small_queue.pop_front();
                continue;
            }
            Entry& entry = found->second;
            if (bytes + entry.content.size() > limits::contents_bytes ||
                (!batch.keys.empty() && key.store != batch.keys.front().store)) {
                break;
            }
            shared.small_queue.pop_front();
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
        shared.small_running = shared.small_running || !batch.keys.empty();
        return batch;
    });
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
                shared.held_bytes += entry.content.size();
                of_store.held.push_back({key, now});
            }
        }
    });
}

void Pulls::give_back(const Together& batch, const std::optional<Error>& problem) {
    shared_.with([&](Shared& shared) {
        shared.small_running = false;
        for (const Key& key : batch.keys) {
            Entry& entry = shared.entries.at(key);
            entry.running = false;
            entry.problem = problem;
            shared.small_queue.push_back(key);
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
            const SteadyTime now = clock_.steady_now();
            shared.mark_tried(saving->key.store, problem.has_value(), now);
            Entry& entry = shared.entries.at(saving->key);
            entry.running = false;
            entry.problem = problem;
            if (entry.wanted_by.empty()) {
                shared.let_go(entry);
                shared.entries.erase(saving->key);
            } else {
                shared.stores[saving->key.store].held.push_back({saving->key, now});
            }
        });
    };
    try {
        finish(saving->key,
               stores_.at(saving->key.store)->keep(saving->content, *saving->bytes, stop));
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
