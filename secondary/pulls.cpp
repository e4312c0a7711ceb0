#include "secondary/pulls.hpp"

#include <algorithm>
#include <utility>

#include <spdlog/spdlog.h>

namespace antipode::secondary {
namespace {

/// A store that failed tries the next one when this one has ended, or after this time.
constexpr std::chrono::seconds one_at_a_time(5);
constexpr std::chrono::minutes anew_time(1);
/// Contents of a store whose names have gone and that may come under others, and their bytes.
constexpr size_t most_kept = 1000;
constexpr uint64_t most_kept_bytes = 4 * limits::gib;

bool comes_together(const v1::Content& content) {
    return content.together() && content.size() <= limits::content_in_memory_bytes;
}

}  // namespace

Pulls::Pulls(std::map<StoreId, ContentStore*> stores,
             std::function<void(const StoreId&)> on_arrival, const Clock& clock,
             uint64_t held_bytes)
    : stores_(std::move(stores)),
      on_arrival_(std::move(on_arrival)),
      clock_(clock),
      most_held_bytes_(held_bytes) {}

Pulls::Key Pulls::key_of(const StoreId& store, const v1::Content& content) {
    return {store, content.sha256(), content.pull(), comes_together(content)};
}

std::shared_ptr<const std::string> Pulls::Entry::held() const {
    const auto* here = outcome ? std::get_if<ContentStore::Here>(&*outcome) : nullptr;
    return here != nullptr ? here->bytes : nullptr;
}

void Pulls::Shared::let_go(const Entry& entry) {
    if (!entry.is_safe()) {
        missing_bytes -= entry.content.size();
    }
    if (entry.held()) {
        stores[entry.store].held_bytes -= entry.content.size();
    }
}

bool Pulls::Shared::nobody_has(const StoreId& store, const Sha256& hash) const {
    const auto same = entries.lower_bound(Key{store, std::string(view(hash)), {}});
    if (same != entries.end() && same->first.store == store && same->first.hash == view(hash)) {
        return false;
    }
    const auto of_store = stores.find(store);
    return of_store == stores.end() ||
           std::none_of(of_store->second.kept.begin(), of_store->second.kept.end(),
                        [&](const Kept& kept) { return kept.content.hash == hash; });
}

void Pulls::want(const StoreId& store, const Position& position, const v1::Content& content) {
    if (!stores_.contains(store)) {
        return;
    }
    const Key key = key_of(store, content);
    const bool is_news =
        shared_.with([&](Shared& shared) { return !shared.entries.contains(key); });
    // Before a restart it may have been made safe, and the primary may be gone since.
    const bool is_together =
        comes_together(content) && !(is_news && stores_.at(store)->has(content));
    if (is_news && !is_together) {
        stores_.at(store)->expect(content);
    }
    shared_.with([&](Shared& shared) {
        const auto [found, fresh] = shared.entries.try_emplace(key);
        Entry& entry = found->second;
        if (fresh) {
            entry.store = store;
            entry.content = content;
            OfStore& of_store = shared.stores[store];
            (is_together ? of_store.small_queue : of_store.queue).push_back(key);
            shared.missing_bytes += content.size();
        }
        if (entry.wanted_by.insert(position).second && !entry.is_safe()) {
            shared.missing.emplace(position, key);
        }
    });
    wake_.poke();
}

void Pulls::release(const StoreId& store, const Position& position, const v1::Content& content) {
    const Key key = key_of(store, content);
    const bool held = shared_.with([&](Shared& shared) {
        const auto found = shared.entries.find(key);
        if (found == shared.entries.end()) {
            return false;
        }
        Entry& entry = found->second;
        entry.wanted_by.erase(position);
        shared.missing.erase({position, key});
        const bool in_memory = entry.held() != nullptr;
        if (in_memory) {
            shared.stores[store].applied_at = clock_.steady_now();
            shared.mark_tried(store, false, clock_.steady_now());
        }
        if (entry.wanted_by.empty() && !entry.running) {
            shared.let_go(entry);
            shared.entries.erase(found);
        }
        return in_memory;
    });
    if (held) {
        wake_.poke();  // there is room for more
    } else {
        discard(key);
    }
}

void Pulls::release_through(const StoreId& store, const Position& finished) {
    std::vector<std::pair<Position, v1::Content>> past;
    shared_.with([&](const Shared& shared) {
        for (auto entry = shared.entries.lower_bound(Key{store, {}, {}});
             entry != shared.entries.end() && entry->first.store == store; ++entry) {
            const std::set<Position>& wanted_by = entry->second.wanted_by;
            std::for_each(wanted_by.begin(), wanted_by.upper_bound(finished),
                          [&](const Position& position) {
                              past.emplace_back(position, entry->second.content);
                          });
        }
    });
    for (const auto& [position, content] : past) {
        release(store, position, content);
    }
}

/// The file is named by its content: another event may want it from another place.
void Pulls::discard(const StoreId& store, const Sha256& hash) {
    if (const auto contents = stores_.find(store); contents != stores_.end()) {
        contents->second->discard(hash, [&] {
            return shared_.with(
                [&](const Shared& shared) { return shared.nobody_has(store, hash); });
        });
    }
}

void Pulls::discard(const Key& key) {
    if (const auto hash = sha256_from_bytes(key.hash)) {
        discard(key.store, *hash);
    }
}

void Pulls::keep(const StoreId& store, const std::string& item, const verify::BlobContent& content,
                 const Position& announced) {
    const auto contents = stores_.find(store);
    if (contents == stores_.end() || content.size > most_kept_bytes ||
        !contents->second->keep(item, content.hash, content.size)) {
        return;
    }
    shared_.with([&](Shared& shared) {
        OfStore& of_store = shared.stores[store];
        of_store.kept.push_back({content, announced});
        of_store.kept_bytes += content.size;
    });
}

void Pulls::let_go_of_kept(const StoreId& store, const std::optional<Position>& open) {
    const auto gone = shared_.with([&](Shared& shared) { return shared.take_kept(store, open); });
    for (const Sha256& hash : gone) {
        discard(store, hash);
    }
}

std::vector<Sha256> Pulls::Shared::take_kept(const StoreId& store,
                                             const std::optional<Position>& open) {
    std::vector<Sha256> gone;
    const auto of_store = stores.find(store);
    if (of_store == stores.end()) {
        return gone;
    }
    std::deque<Kept>& kept = of_store->second.kept;
    uint64_t& kept_bytes = of_store->second.kept_bytes;
    while (!kept.empty() && (!open || kept.front().announced < *open ||
                             kept_bytes > most_kept_bytes || kept.size() > most_kept)) {
        gone.push_back(kept.front().content.hash);
        kept_bytes -= kept.front().content.size;
        kept.pop_front();
    }
    return gone;
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
            if (const auto kept = shared.stores.find(*id); kept != shared.stores.end()) {
                for (const Kept& content : kept->second.kept) {
                    hashes.push_back(content.content.hash);
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

std::optional<Pulls::Key> Pulls::Shared::take_queued(OfStore& of_store) {
    while (!of_store.queue.empty()) {
        const Key key = of_store.queue.front();
        of_store.queue.pop_front();
        const auto found = entries.find(key);
        if (found == entries.end() || found->second.outcome || found->second.running) {
            continue;
        }
        if (!found->second.wanted_by.empty()) {
            return key;
        }
        let_go(found->second);
        entries.erase(found);
    }
    return std::nullopt;
}

/// The stores take turns.
std::optional<std::pair<Pulls::Key, v1::Content>> Pulls::begin_next() {
    return shared_.with([&](Shared& shared) -> std::optional<std::pair<Key, v1::Content>> {
        const SteadyTime now = clock_.steady_now();
        auto next = shared.stores.upper_bound(shared.last_served);
        for (size_t i = 0; i < shared.stores.size(); ++i, ++next) {
            if (next == shared.stores.end()) {
                next = shared.stores.begin();
            }
            OfStore& of_store = next->second;
            if (now < of_store.rest_until && !shared.has_other_place_for_next(of_store, now)) {
                continue;
            }
            if (const auto key = shared.take_queued(of_store)) {
                shared.last_served = next->first;
                of_store.begin_try(now);
                Entry& entry = shared.entries.at(*key);
                entry.running = true;
                return std::pair(*key, entry.content);
            }
        }
        return std::nullopt;
    });
}

void Pulls::OfStore::begin_try(SteadyTime now) {
    if (failed) {
        rest_until = now + one_at_a_time;
    }
}

void Pulls::Shared::mark_tried(const StoreId& store, bool failed, SteadyTime now) {
    OfStore& of_store = stores[store];
    if (!failed) {
        of_store.backoff.reset();
        of_store.rest_until = {};
    } else {
        of_store.rest_until = now + of_store.backoff.next();
    }
    of_store.failed = failed;
}

void Pulls::finish(const Key& key, ContentStore::Outcome outcome) {
    const bool unwanted = shared_.with([&](Shared& shared) {
        Entry& entry = shared.entries.at(key);
        shared.let_go(entry);
        shared.mark_tried(key.store, false, clock_.steady_now());
        entry.running = false;
        entry.problem.reset();
        entry.outcome = std::move(outcome);
        for (const Position& position : entry.wanted_by) {
            shared.missing.erase({position, key});
        }
        const bool nobody = entry.wanted_by.empty();
        if (nobody) {
            shared.entries.erase(key);
        }
        return nobody;
    });
    if (unwanted) {
        discard(key);
    }
}

void Pulls::try_again(const Key& key, const std::optional<Error>& problem) {
    const bool unwanted = shared_.with([&](Shared& shared) {
        shared.mark_tried(key.store, problem.has_value(), clock_.steady_now());
        Entry& entry = shared.entries.at(key);
        if (entry.wanted_by.empty()) {
            shared.let_go(entry);
            shared.entries.erase(key);
            return true;
        }
        entry.running = false;
        entry.problem = std::exchange(entry.is_old_try, false) ? std::nullopt : problem;
        shared.stores[key.store].queue.push_back(key);
        return false;
    });
    if (unwanted) {
        discard(key);
    }
    if (problem) {
        let_go_of_kept(key.store, std::nullopt);  // it may be room that is missing
    }
}

void Pulls::try_anew() {
    shared_.with([this](Shared& shared) {
        shared.anew_until = clock_.steady_now() + anew_time;
        for (auto& [key, entry] : shared.entries) {
            entry.is_old_try = entry.running;
            entry.problem.reset();
        }
        for (auto& [store, of_store] : shared.stores) {
            of_store.backoff.reset();
            of_store.failed = false;
            of_store.rest_until = {};
        }
    });
    wake_.poke();
}

/// What cannot be had must not hold up what can.
bool Pulls::Shared::has_other_place_for_next(const OfStore& of_store, SteadyTime now) const {
    const auto next = std::find_if(of_store.queue.begin(), of_store.queue.end(),
                                   [&](const Key& key) { return entries.contains(key); });
    return now < anew_until && next != of_store.queue.end() && !entries.at(*next).problem;
}

bool Pulls::has_untried(StoreKind kind) const {
    return shared_.with([kind](const Shared& shared) {
        return std::any_of(shared.entries.begin(), shared.entries.end(),
                           [kind](const auto& of_key) {
                               const Entry& entry = of_key.second;
                               return entry.store.kind == kind && !entry.wanted_by.empty() &&
                                      !entry.outcome && !entry.problem;
                           });
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
    if (pull_some_together(primary, stop)) {
        return;
    }
    const bool others_first =
        shared_.with([](Shared& shared) { return std::exchange(shared.others_first, false); });
    if (!others_first && save_one(stop)) {
        return;
    }
    const auto next = begin_next();
    if (!next) {
        const bool helped = std::any_of(stores_.begin(), stores_.end(), [&](const auto& store) {
            return store.second->help(primary, stop);
        });
        if (!helped && !save_one(stop)) {
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
