#pragma once

#include <memory>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"
#include "primary/database/check_bulk.hpp"

namespace antipode::primary {

/// A database store's side of the bulk service: what a new secondary copies. Texts and headers are
/// those of protocol/table_list.hpp.
///
///     database/<store>/schema?section=before|after|finish   SQL
///     database/<store>/tables
///     database/<store>/sequences
///     database/<store>/ranges?schema=...&table=...&bytes=... how the table can be cut for copying
///     database/<store>/copy?schema=...&table=...             the rows under one snapshot; of a
///         range with &column=...[&after=...][&up_to=...], binary if it can be with &binary=MAJOR
///     database/<store>/check/...                             what CheckBulk says
///
/// The schema is that of one table alone with &schema=...&table=...
///
/// Thread-safe. Nothing is handed out before the slot exists, because a copy is worth something
/// only together with every change after it.
class DatabaseBulk final : public BulkHandler {
  public:
    DatabaseBulk(StoreId store, SourceExport& source, SourceChecks& checks, const Clock& clock)
        : store_(std::move(store)), source_(source), checks_(checks, clock) {}

    /// nullptr for an unknown path, and for a table that does not exist (any more).
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    std::unique_ptr<BulkBody> open_copy(const BulkRequest& request, const TableName& table);
    std::unique_ptr<BulkBody> open_list(const std::string& what);

    const StoreId store_;
    SourceExport& source_;
    CheckBulk checks_;
};

}  // namespace antipode::primary
