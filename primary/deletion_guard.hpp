#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "primary/inventory.hpp"

namespace antipode::primary {

/// When deletions of one store are so many that an operator has to say that they are meant.
struct DeletionLimits {
    bool enabled = false;
    unsigned percent = 5;  ///< of the store's items; more than this, and
    uint64_t least = 100;  ///< no fewer than these, within a minute
};

/// Keeps a mass deletion from the secondaries until an operator has decided: an unmounted disk, a
/// script gone wrong. It holds what is deleted from when it is too much; what was deleted before,
/// in the same minute, may be published already. While anything is held, every further deletion of
/// the store is. Passive; sequencer thread.
class DeletionGuard {
  public:
    /// `inventory` remembers what is held; it must outlive the object.
    DeletionGuard(StoreId store, DeletionLimits limits, Inventory& inventory)
        : store_(std::move(store)), limits_(limits), inventory_(inventory) {}

    struct Verdict {
        std::vector<std::string> allowed;
        bool storm = false;  ///< it begins with these
    };
    /// Items that were seen at `now` to be gone, and were there at `happened_after`. `emptied`: the
    /// store looks as if it were another one, an empty one.
    Verdict judge(const std::vector<std::string>& removed, bool emptied, TimePoint now,
                  TimePoint happened_after);
    /// An item that was moved: nobody has decided against its removal.
    bool may_go(const std::string& item) const;
    void withhold(std::vector<Inventory::Withheld> items, TimePoint now);

    /// The whole store was compared from `began` on, and this is all that is gone: what was
    /// withheld before and is not among it is back. True: what is left is no mass deletion and was
    /// released (Inventory::decide).
    bool compared(const Noticed& noticed, TimePoint began, TimePoint now);

  private:
    /// Each item once in a minute, however often it is seen to be gone: secondaries may ask for
    /// one again and again that the inventory never knew.
    void count(const std::vector<Inventory::Withheld>& removed, TimePoint now);
    void forget_old(TimePoint now);
    bool is_known(const std::string& item) const;
    bool is_storm(uint64_t removed) const;

    const StoreId store_;
    const DeletionLimits limits_;
    Inventory& inventory_;
    struct Seen {
        TimePoint at;
        uint64_t count = 0;
        std::vector<size_t> items;  ///< hashes of names
    };
    std::deque<Seen> lately_;
    std::unordered_set<size_t> counted_;  ///< of lately_
};

}  // namespace antipode::primary
