#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/item_query.hpp"
#include "primary/capture.hpp"
#include "verify/inventory_sums.hpp"

namespace antipode::primary {

/// What the primary has published of each item of repositories and blobs, and where. It is a cache
/// of the stream, not a truth: when it is behind, a session begins by taking in what the stream has
/// beyond recorded_through().
/// SQLite file; thread-safe. Throws Error{Retry} when the file cannot be written.
class Inventory {
  public:
    /// An empty path keeps it in memory (simulation).
    explicit Inventory(const std::filesystem::path& file);
    ~Inventory();

    struct Record {
        StoreId store;
        std::string item;
        Published published;
        Position position;
    };

    std::optional<Published> find(const StoreId& store, const std::string& item) const;
    void record(std::span<const Record> records);
    /// Everything that was published up to here is recorded. The origin: nothing was.
    Position recorded_through() const;
    void set_recorded_through(const Position& position);
    /// Items that were published without being recorded: those that are not there in its eyes are
    /// taken in as "forgotten" (forget_after), so that it is noticed when they are gone.
    void take_in(std::span<const Record> published);
    /// Every item of a store that exists, in name order; stops when `use` returns false.
    void for_each(const StoreId& store,
                  const std::function<bool(const std::string& item, const Published&)>& use) const;
    /// The same, from the first item behind `after` (nullopt: from the first).
    void for_each_after(
        const StoreId& store, const std::optional<std::string>& after,
        const std::function<bool(const std::string& item, const Published&)>& use) const;
    /// The same for the items below a directory, given without its last '/'.
    void for_each_below(
        const StoreId& store, const std::string& directory,
        const std::function<bool(const std::string& item, const Published&)>& use) const;
    uint64_t count(const StoreId& store) const;
    /// The same, but no more than `most` are counted: cheap for a small `most`.
    uint64_t count_up_to(const StoreId& store, uint64_t most) const;

    // Deletions that are not published because an operator has to decide about them, or has. Such
    // an item leaves the list when it is published again, or when its removal is.

    enum class Decision { Held, Discarded, Released };
    struct Withheld {
        std::string item;
        TimePoint happened_after;  ///< see ItemLane::HeldRemoval
        TimePoint since{};         ///< when it was withheld; of for_each_withheld()
    };
    struct WithheldCount {
        uint64_t held = 0;                        ///< nobody has decided yet
        uint64_t discarded = 0;                   ///< secondaries keep them
        uint64_t released = 0;                    ///< on their way
        std::optional<TimePoint> since;           ///< the oldest that is held
        std::optional<TimePoint> happened_after;  ///< the least of those that are held
        bool none() const { return held + discarded + released == 0; }
    };
    /// They are held from now on; those that are in the list already stay as they are.
    void withhold(const StoreId& store, std::span<const Withheld> items, TimePoint now);
    /// nullopt: it is not in the list.
    std::optional<Decision> decision(const StoreId& store, const std::string& item) const;
    /// What is held becomes released or discarded. Returns how many.
    uint64_t decide(const StoreId& store, Decision decision);
    /// What was discarded is released. Returns how many.
    uint64_t release_discarded(const StoreId& store);
    WithheldCount withheld(const StoreId& store) const;
    /// In name order; stops when `use` returns false. `use` must not call this object.
    void for_each_withheld(const StoreId& store, Decision decision,
                           const std::function<bool(const Withheld&)>& use) const;
    /// They are no more in the list: they are there again.
    void forget_withheld(const StoreId& store, std::span<const std::string> items);

    // What reading everything again found (Sweep).

    /// An item is not any more as it was published, and nobody changed it.
    struct Defect {
        std::string item;
        std::string reason;
        TimePoint since;
    };
    /// True: it was not known. It is forgotten when the item is published again.
    bool note_defect(const StoreId& store, const Defect& defect);
    void clear_defect(const StoreId& store, const std::string& item);
    uint64_t defect_count(const StoreId& store) const;
    /// In name order.
    std::vector<Defect> defects(const StoreId& store, size_t most) const;

    struct ListedItem {
        std::string item;
        std::optional<Published> published;  ///< nullopt: nothing of it ever was
        Position position;                   ///< of the event that published it
        std::optional<Defect> defect;
        std::optional<Decision> withheld;  ///< of its deletion
    };
    /// What is known of single items. Failed and Differing: those with a defect.
    std::vector<ListedItem> list(const StoreId& store, const ItemQuery& query) const;

    // Sums of what was published; what secondaries compare theirs with.

    /// `known`: what the asking site has; when all items are equal, nothing else is answered.
    verify::SumsAnswer sums(const StoreId& store,
                            const std::optional<verify::InventorySum>& known) const;
    struct BucketItems {
        Position position;  ///< everything published up to here is in it, and nothing later
        std::vector<std::pair<std::string, Digest>> items;
        std::vector<uint32_t> unsure;  ///< buckets that it cannot tell: their items are left out
    };
    BucketItems items_in(const StoreId& store, const std::vector<uint32_t>& buckets) const;
    /// Whatever was published without being recorded has been compared with what is there, and what
    /// differed is published again: the sums of its buckets can be told.
    void settled(const StoreId& store);
    /// Reads up to `most` items again (see SumTable::check), and corrects sums that are not theirs:
    /// a damaged row then differs on every secondary, which asks for the item.
    struct Corrected {
        bool ended = false;  ///< all were read
        size_t sums = 0;
    };
    Corrected correct_sums(const StoreId& store, size_t most);

    /// Items that this site has from its time as a secondary and whose content nobody has read here
    /// since: Sweep takes them first, in this order.
    void add_unproven(const StoreId& store, std::span<const std::string> items);
    void proven(const StoreId& store, const std::string& item);
    std::vector<std::string> unproven(const StoreId& store) const;

    struct SweepPlace {
        TimePoint began;                   ///< of the round; the epoch of the clock: none ever did
        std::optional<std::string> after;  ///< everything up to this item was looked at
        bool ended = false;
        std::optional<TimePoint> complete_since;  ///< when the last whole round began
    };
    SweepPlace sweep_place(const StoreId& store) const;
    void set_sweep_place(const StoreId& store, const SweepPlace& place);

    /// Forgets what was published after `safe`: it may be lost, and is published again. Such an
    /// item is found with an empty state and the digest algorithm "forgotten".
    void forget_after(const Position& safe);
    /// Drops the memory of removals that every site has.
    void drop_removed_through(const Position& safe);

    /// Forgets items and sites; sessions stay. What is in it belongs to an earlier primaryship.
    void clear();

    /// What registered sites said last, by name (RegisteredSites).
    std::map<std::string, std::string> sites() const;
    void remember_sites(const std::map<std::string, std::string>& reports);

    /// The newest session that was begun; 0: none was, the file is new.
    uint64_t last_session() const;
    /// A session number greater than every earlier one; durable when it returns.
    uint64_t next_session(uint64_t at_least);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::primary
