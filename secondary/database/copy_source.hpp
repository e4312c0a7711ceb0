#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/database.hpp"

namespace antipode::secondary {

/// What a copy asks the primary's bulk service for, but for the rows (table_copy.hpp). Throws
/// Error{Retry} when the primary does not know the store (any more), Error{Stop} when its answer is
/// malformed.
class CopySource {
  public:
    struct Table {
        TableName name;
        uint64_t bytes = 0;  ///< on the primary's disk
    };
    struct Listing {
        std::vector<Table> tables;
        Lsn confirmed;  ///< the slot's position: from here on the stream has everything
    };
    struct Schema {
        std::string before;
        std::string after;
        std::string finish;
        CopiedTable snapshot;  ///< from before it was read
        bool operator==(const Schema& other) const {
            return before == other.before && after == other.after && finish == other.finish;
        }
    };

    CopySource(const StoreId& store, BulkSource& primary, const std::stop_token& stop)
        : store_(store), primary_(primary), stop_(stop) {}

    Listing tables();
    /// `only`: of this table.
    Schema schema(const std::optional<TableName>& only = std::nullopt);
    /// Read twice, so that it is as it was at the second one's snapshot. Throws Error{Retry} when
    /// it changed meanwhile.
    Schema settled_schema();
    /// A snapshot of now, under the name of `table`.
    CopiedTable snapshot(const TableName& table);
    /// In ranges of about so many bytes; an older primary knows of none.
    std::vector<KeyRange> ranges(const TableName& table, uint64_t part_bytes);
    std::vector<SequenceValue> sequences();

  private:
    BulkRequest request(const std::string& what) const;
    std::string fetch(const BulkRequest& request, BulkSource::Answer& answer);
    std::string section(const char* name, const std::optional<TableName>& only,
                        BulkSource::Answer& answer);

    const StoreId& store_;
    BulkSource& primary_;
    const std::stop_token& stop_;
};

}  // namespace antipode::secondary
