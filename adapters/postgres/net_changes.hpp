#pragma once

#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// What many operations on one table amount to: each row, told apart by its key, is deleted,
/// changed or inserted at most once. Done in this order they leave the table as the operations in
/// theirs would.
///
/// Keys are compared by their text. That is safe: a stored row's key is written alike until it is
/// changed, and then the old key is given. Operations must outlive this object. Pure.
class NetChanges {
  public:
    using Row = std::vector<Field>;

    /// `key`: columns that identify a row; empty: none do, so that there may only be inserts.
    explicit NetChanges(std::vector<size_t> key) : key_(std::move(key)) {}

    /// False: the operations of this table must be done one by one, because this one cannot be told
    /// by keys alone or contradicts an earlier one. This object is of no use then.
    bool add(const RowOperation& operation);

    struct Result {
        std::vector<const Row*> removed;  ///< rows with the key; by key, as the next ones
        /// By which columns keep their value: 'u', others '.'.
        std::map<std::string, std::vector<const Row*>> updated;
        std::vector<const Row*> inserted;
    };
    Result result() const;

  private:
    /// A row that was there before is removed or updated; then one with its key may be inserted.
    struct Entry {
        const Row* removed = nullptr;
        const Row* updated = nullptr;
        const Row* inserted = nullptr;
        bool fresh = true;  ///< nothing is known of the row yet
    };

    bool insert(const Row& row);
    bool update(const Row& row);
    bool remove(const Row& key_row);
    bool move(const Row& old_row, const Row& new_row);
    Entry* find(const Row& row);
    bool same_key(const Row& one, const Row& other) const;
    void sort(std::vector<const Row*>& rows) const;
    const Row* merged(const Row& before, const Row& after);

    std::vector<size_t> key_;
    std::unordered_map<std::string, size_t> places_;
    std::vector<Entry> entries_;
    std::deque<Row> merged_;
    std::string key_text_;
};

}  // namespace antipode::postgres
