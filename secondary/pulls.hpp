#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/channel.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "protocol/message.hpp"
#include "secondary/content.hpp"

namespace antipode::secondary {

/// The large contents that events wait for: the relay names them as events pass, workers pull them,
/// apply asks whether they are here. An event is safe only when its content is. Thread-safe.
class Pulls {
  public:
    /// `stores`: where each store's contents are put. `on_arrival` is called, without a lock,
    /// whenever a pull has ended.
    Pulls(std::map<StoreId, ContentStore*> stores, std::function<void(const StoreId&)> on_arrival);

    /// The event at `position` needs `content`. Naming it twice changes nothing.
    void want(const StoreId& store, const Position& position, const v1::Content& content);
    /// The event at `position` is applied: its content is needed no more.
    void release(const StoreId& store, const Position& position, const v1::Content& content);

    /// Deletes contents, and parts of some, that nobody wants: a crash came between the event that
    /// was applied and its release(). Everything that is wanted has been named before.
    void drop_unwanted();

    struct Pending {};
    struct Unknown {};  ///< nobody wanted it yet
    using State = std::variant<Unknown, Pending, ContentStore::Here, ContentStore::Gone>;
    State state(const StoreId& store, const v1::Content& content) const;

    /// Position of the oldest event whose content is not here; nullopt: none is missing.
    std::optional<Position> oldest_missing() const;
    /// How many contents are not here yet, and their bytes.
    std::pair<size_t, uint64_t> missing() const;

    /// Why a content of the store is not here yet although it was tried; nullopt: no try failed.
    std::optional<Error> problem(const StoreId& store) const;
    /// What is being pulled now.
    std::vector<std::pair<StoreId, ContentStore::Progress>> running() const;

    /// Step of a pull worker: pulls the next content, or a range of one that another worker pulls;
    /// waits up to `wait` when there is none.
    void step(BulkSource& primary, std::chrono::milliseconds wait, const std::stop_token& stop);

  private:
    /// Equal contents at different places are pulled on their own: one place may be empty by now
    /// (a file that was renamed) while the other is not.
    struct Key {
        StoreId store;
        std::string hash;   ///< raw SHA-256
        std::string place;  ///< the reference to pull
        auto operator<=>(const Key&) const = default;
    };
    static Key key_of(const StoreId& store, const v1::Content& content);
    struct Entry {
        v1::Content content;
        std::set<Position> wanted_by;
        bool running = false;
        std::optional<Error> problem;  ///< of the last try
        std::optional<ContentStore::Outcome> outcome;
    };
    struct Shared {
        std::map<Key, Entry> entries;
        std::deque<Key> queue;
        std::set<std::pair<Position, Key>> missing;
        uint64_t missing_bytes = 0;
    };
    std::optional<std::pair<Key, v1::Content>> begin_next();
    void finish(const Key& key, ContentStore::Outcome outcome);
    void try_again(const Key& key, const std::optional<Error>& problem);

    std::map<StoreId, ContentStore*> stores_;
    std::function<void(const StoreId&)> on_arrival_;
    Synchronized<Shared> shared_;
    Channel<int> wake_{1};
};

}  // namespace antipode::secondary
