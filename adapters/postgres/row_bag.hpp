#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/postgres/net_changes.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// What many operations on one table without a key amount to: how many copies of which whole rows
/// go, and which come. Taking away first and adding then leaves the table as the operations in
/// their order would, and fails wherever one of them would not have found its row: only a row that
/// was added here is ever cancelled by a removal, never the other way round.
///
/// Rows are compared by their text. That is safe: a stored row is written alike until it is
/// changed. Operations must outlive this object. Pure.
class RowBag {
  public:
    using Row = NetChanges::Row;

    /// False: the operations must be done one by one, because an old row is not whole. This object
    /// is of no use then.
    bool add(const RowOperation& operation);

    /// Only `removed`, which has a row once for each copy, and `inserted`.
    NetChanges::Result result() const;

  private:
    bool insert(const Row& row);
    bool remove(const Row& row);
    static std::string text_of(const Row& row);

    std::vector<const Row*> removed_;
    std::vector<const Row*> inserted_;  ///< nullptr where it went again
    std::deque<Row> filled_;
    /// Where each row stands in inserted_; tables that only grow need none.
    std::unordered_map<std::string, std::vector<size_t>> places_;
    size_t indexed_ = 0;  ///< of inserted_
};

}  // namespace antipode::postgres
