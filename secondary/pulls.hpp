#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/backoff.hpp"
#include "base/channel.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/limits.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "protocol/message.hpp"
#include "secondary/content.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::secondary {

/// The contents that events wait for: the relay names them as events pass, workers pull them, apply
/// asks whether they are here. An event is safe only when its content is.
///
/// Small ones come many at a time, into memory: they are not safe before they are applied. Those
/// of a store that applies none for a while are written to disk. Thread-safe.
class Pulls {
  public:
    /// `stores`: where each store's contents are put. `on_arrival` is called, without a lock,
    /// whenever a pull has ended. What small contents may take in memory: `held_bytes`.
    Pulls(std::map<StoreId, ContentStore*> stores, std::function<void(const StoreId&)> on_arrival,
          const Clock& clock, uint64_t held_bytes = limits::contents_held_bytes);

    /// The event at `position` needs `content`. Naming it twice changes nothing.
    void want(const StoreId& store, const Position& position, const v1::Content& content);
    /// The event at `position` is applied: its content is needed no more.
    void release(const StoreId& store, const Position& position, const v1::Content& content);
    /// All events up to `finished` are applied: what is still wanted for one of them was named
    /// after that, as its message came once more.
    void release_through(const StoreId& store, const Position& finished);

    /// `item` has this content and is about to be replaced or removed, while what was announced up
    /// to `announced` is not here: that may be the same content under another name.
    void keep(const StoreId& store, const std::string& item, const verify::BlobContent& content,
              const Position& announced);
    /// What was announced before `open` is here: what was kept for that goes. nullopt: all that is
    /// kept.
    void let_go_of_kept(const StoreId& store, const std::optional<Position>& open);

    /// Deletes contents, and parts of some, that nobody wants: a crash came between the event that
    /// was applied and its release(). Everything that is wanted has been named before.
    void drop_unwanted();

    struct Pending {};
    struct Unknown {};  ///< nobody wanted it yet
    using State = std::variant<Unknown, Pending, ContentStore::Here, ContentStore::Gone>;
    State state(const StoreId& store, const v1::Content& content) const;

    /// Position of the oldest event whose content is not safe here; nullopt: none is missing.
    std::optional<Position> oldest_missing() const;
    /// How many contents are not safe here yet, and their bytes.
    std::pair<size_t, uint64_t> missing() const;

    /// Why a content of the store is not here yet although it was tried; nullopt: no try failed.
    std::optional<Error> problem(const StoreId& store) const;
    /// There are other places to pull from: what waits after a failure is tried at once.
    void try_anew();
    /// Something of such stores is missing of which no try has failed since then.
    bool has_untried(StoreKind kind) const;
    /// What is being pulled now.
    std::vector<std::pair<StoreId, ContentStore::Progress>> running() const;

    /// Step of a pull worker: pulls the next content, or many small ones, or a range of one that
    /// another worker pulls; waits up to `wait` when there is none.
    void step(BulkSource& primary, std::chrono::milliseconds wait, const std::stop_token& stop);

  private:
    /// Equal contents at different places are pulled on their own: one place may be empty by now
    /// (a file that was renamed) while the other is not.
    struct Key {
        StoreId store;
        std::string hash;   ///< raw SHA-256
        std::string place;  ///< the reference to pull
        /// Into memory. Who needs the same as a file (a repository's base) is not given that.
        bool together = false;
        auto operator<=>(const Key&) const = default;
    };
    static Key key_of(const StoreId& store, const v1::Content& content);
    struct Entry {
        StoreId store;
        v1::Content content;
        std::set<Position> wanted_by;
        bool running = false;
        bool is_old_try = false;       ///< it runs since before try_anew()
        std::optional<Error> problem;  ///< of the last try
        std::optional<ContentStore::Outcome> outcome;

        /// The bytes when they are in memory alone.
        std::shared_ptr<const std::string> held() const;
        bool is_safe() const { return outcome && !held(); }
    };
    /// Content whose last name here has gone.
    struct Kept {
        verify::BlobContent content;
        Position announced;
    };
    struct OfStore {
        struct Held {
            Key key;
            SteadyTime since{};
        };
        std::deque<Key> queue;
        std::deque<Key> small_queue;  ///< of what comes together
        std::deque<Held> held;        ///< oldest first; also some that are not in memory any more
        uint64_t held_bytes = 0;
        SteadyTime applied_at{};  ///< when one of `held` was applied last
        // After a failure one is tried at a time, and others have their turn meanwhile:
        Backoff backoff;
        bool failed = false;
        SteadyTime rest_until{};
        std::deque<Kept> kept;  ///< oldest first
        uint64_t kept_bytes = 0;

        void begin_try(SteadyTime now);
    };
    struct Shared {
        std::map<Key, Entry> entries;
        std::map<StoreId, OfStore> stores;
        StoreId last_served;
        StoreId last_pulled_together;
        bool small_running = false;
        SteadyTime anew_until{};    ///< since try_anew() each may be tried once without a rest
        bool others_first = false;  ///< what is held was saved just now: large content has its turn
        std::set<std::pair<Position, Key>> missing;
        uint64_t missing_bytes = 0;

        uint64_t held_bytes() const;
        void let_go_of_held(OfStore& of_store);
        std::optional<Key> take_queued(OfStore& of_store);
        bool has_other_place_for_next(const OfStore& of_store, SteadyTime now) const;
        void forget_applied(OfStore& of_store) const;
        /// Takes what has waited for apply for too long.
        std::optional<Key> take_waiting(SteadyTime now);
        void mark_tried(const StoreId& store, bool failed, SteadyTime now);
        void let_go(const Entry& entry);
        /// No entry has this content, wherever it is pulled from, and it is not kept.
        bool nobody_has(const StoreId& store, const Sha256& hash) const;
        /// Takes what was kept for announcements before `open`, and what is too much.
        std::vector<Sha256> take_kept(const StoreId& store, const std::optional<Position>& open);
    };
    std::optional<std::pair<Key, v1::Content>> begin_next();
    void finish(const Key& key, ContentStore::Outcome outcome);
    void try_again(const Key& key, const std::optional<Error>& problem);
    void discard(const StoreId& store, const Sha256& hash);
    void discard(const Key& key);

    struct Together {
        std::vector<Key> keys;  ///< of one store
        std::vector<v1::Content> contents;
    };
    Together begin_together();
    Together take_together(Shared& shared, OfStore& of_store) const;
    bool has_room(const Shared& shared, const OfStore& of_store) const;
    void finish_together(const Together& batch,
                         const std::vector<std::shared_ptr<const std::string>>& pulled);
    void give_back(const Together& batch, const std::optional<Error>& problem);
    bool pull_some_together(BulkSource& primary, const std::stop_token& stop);
    bool save_one(const std::stop_token& stop);

    std::map<StoreId, ContentStore*> stores_;
    std::function<void(const StoreId&)> on_arrival_;
    const Clock& clock_;
    const uint64_t most_held_bytes_;
    Synchronized<Shared> shared_;
    Channel<int> wake_{1};
};

}  // namespace antipode::secondary
