#include "secondary/pulls.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

namespace antipode::secondary {

Pulls::Pulls(std::map<StoreId, ContentStore*> stores,
             std::function<void(const StoreId&)> on_arrival)
    : stores_(std::move(stores)), on_arrival_(std::move(on_arrival)) {}

Pulls::Key Pulls::key_of(const StoreId& store, const v1::Content& content) {
    return {store, content.sha256(), content.pull()};
}

void Pulls::want(const StoreId& store, const Position& position, const v1::Content& content) {
    if (!stores_.contains(store)) {
        return;
    }
    const Key key = key_of(store, content);
    const bool is_news =
        shared_.with([&](Shared& shared) { return !shared.entries.contains(key); });
    if (is_news) {
        stores_.at(store)->expect(content);
    }
    shared_.with([&](Shared& shared) {
        const auto [found, fresh] = shared.entries.try_emplace(key);
        Entry& entry = found->second;
        if (fresh) {
            entry.content = content;
            shared.queue.push_back(key);
            shared.missing_bytes += content.size();
        }
        if (entry.wanted_by.insert(position).second && !entry.outcome) {
            shared.missing.emplace(position, key);
        }
    });
    wake_.poke();
}

void Pulls::release(const StoreId& store, const Position& position, const v1::Content& content) {
    const Key key = key_of(store, content);
    const bool unwanted = shared_.with([&](Shared& shared) {
        const auto found = shared.entries.find(key);
        if (found != shared.entries.end()) {
            Entry& entry = found->second;
            entry.wanted_by.erase(position);
            shared.missing.erase({position, key});
            if (!entry.wanted_by.empty() || entry.running || !entry.outcome) {
                return false;
            }
            shared.entries.erase(found);
        }
        // The file is named by its content: another event may want it from another place.
        const auto same = shared.entries.lower_bound(Key{store, key.hash, {}});
        return same == shared.entries.end() || same->first.store != store ||
               same->first.hash != key.hash;
    });
    const auto hash = sha256_from_bytes(content.sha256());
    const auto contents = stores_.find(store);
    if (unwanted && hash && contents != stores_.end()) {
        contents->second->discard(*hash);
    }
}

void Pulls::drop_unwanted() {
    for (const auto& [store, contents] : stores_) {
        const auto wanted = shared_.with([&, id = &store](const Shared& shared) {
            std::vector<Sha256> hashes;
            for (auto entry = shared.entries.lower_bound(Key{*id, {}, {}});
                 entry != shared.entries.end() && entry->first.store == *id; ++entry) {
                if (const auto hash = sha256_from_bytes(entry->first.hash)) {
                    hashes.push_back(*hash);
                }
            }
            return hashes;
        });
        try {
            contents->keep_only(wanted);
        } catch (const Error& error) {
            spdlog::debug("{}: {}", store.to_string(), error.what());  // the next start tries again
        }
    }
}

Pulls::State Pulls::state(const StoreId& store, const v1::Content& content) const {
    return shared_.with([&](const Shared& shared) -> State {
        const auto found = shared.entries.find(key_of(store, content));
        if (found == shared.entries.end()) {
            return Unknown{};
        }
        if (!found->second.outcome) {
            return Pending{};
        }
        return std::visit([](const auto& outcome) -> State { return outcome; },
                          *found->second.outcome);
    });
}

std::optional<Position> Pulls::oldest_missing() const {
    return shared_.with([](const Shared& shared) {
        return shared.missing.empty() ? std::nullopt : std::optional(shared.missing.begin()->first);
    });
}

std::pair<size_t, uint64_t> Pulls::missing() const {
    return shared_.with([](const Shared& shared) {
        return std::pair(shared.missing.size(), shared.missing_bytes);
    });
}

std::vector<std::pair<StoreId, ContentStore::Progress>> Pulls::running() const {
    std::vector<std::pair<StoreId, ContentStore::Progress>> all;
    for (const auto& [store, contents] : stores_) {
        for (const ContentStore::Progress& pull : contents->progress()) {
            all.emplace_back(store, pull);
        }
    }
    return all;
}

std::optional<std::pair<Pulls::Key, v1::Content>> Pulls::begin_next() {
    return shared_.with([](Shared& shared) -> std::optional<std::pair<Key, v1::Content>> {
        while (!shared.queue.empty()) {
            const Key key = shared.queue.front();
            shared.queue.pop_front();
            const auto found = shared.entries.find(key);
            if (found == shared.entries.end() || found->second.outcome || found->second.running) {
                continue;
            }
            if (!found->second.wanted_by.empty()) {
                found->second.running = true;
                return std::pair(key, found->second.content);
            }
            shared.missing_bytes -= found->second.content.size();
            shared.entries.erase(found);
        }
        return std::nullopt;
    });
}

void Pulls::finish(const Key& key, ContentStore::Outcome outcome) {
    shared_.with([&](Shared& shared) {
        Entry& entry = shared.entries.at(key);
        entry.running = false;
        entry.problem.reset();
        entry.outcome = std::move(outcome);
        shared.missing_bytes -= entry.content.size();
        for (const Position& position : entry.wanted_by) {
            shared.missing.erase({position, key});
        }
        if (entry.wanted_by.empty()) {
            shared.entries.erase(key);
        }
    });
}

void Pulls::try_again(const Key& key, const std::optional<Error>& problem) {
    shared_.with([&](Shared& shared) {
        Entry& entry = shared.entries.at(key);
        entry.running = false;
        entry.problem = problem;
        shared.queue.push_back(key);
    });
}

std::optional<Error> Pulls::problem(const StoreId& store) const {
    return shared_.with([&](const Shared& shared) -> std::optional<Error> {
        for (auto entry = shared.entries.lower_bound(Key{store, {}, {}});
             entry != shared.entries.end() && entry->first.store == store; ++entry) {
            if (entry->second.problem) {
                return entry->second.problem;
            }
        }
        return std::nullopt;
    });
}

void Pulls::step(BulkSource& primary, std::chrono::milliseconds wait, const std::stop_token& stop) {
    const auto next = begin_next();
    if (!next) {
        const bool helped = std::any_of(stores_.begin(), stores_.end(), [&](const auto& store) {
            return store.second->help(primary, stop);
        });
        if (!helped) {
            wake_.take(1, wait, stop);
        }
        return;
    }
    wake_.poke();  // others may help
    const auto& [key, content] = *next;
    try {
        finish(key, stores_.at(key.store)->fetch(content, primary, stop));
    } catch (const Error& error) {
        try_again(key, error);
        throw;
    } catch (...) {
        try_again(key, std::nullopt);
        throw;
    }
    wake_.poke();
    on_arrival_(key.store);
}

}  // namespace antipode::secondary
