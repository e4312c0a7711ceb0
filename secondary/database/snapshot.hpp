#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/seams/database.hpp"

namespace antipode::secondary {

/// A pg_snapshot: "xmin:xmax:xip,xip,...", with 64-bit transaction ids.
class Snapshot {
  public:
    /// nullopt when the text is malformed.
    static std::optional<Snapshot> parse(std::string_view text);

    /// Whether what transaction `xid` committed is in the snapshot. `xid` is the 32-bit id that
    /// decoding gives; it is taken for the one nearest to the snapshot, which holds while fewer
    /// than 2^31 transactions lie between: callers ask only about commits before the copy's end of
    /// log.
    bool sees(uint32_t xid) const;

  private:
    uint64_t xmin_ = 0;
    uint64_t xmax_ = 0;
    std::vector<uint64_t> in_progress_;  ///< sorted
};

/// Under which the schema's own snapshot stands among those of the tables.
inline const TableName schema_name;

/// Which changes of copied tables are in their copies already. Tables are copied under different
/// snapshots, and so are ranges of one table, so that one transaction can be in one copy and not in
/// another.
class CopiedTables {
  public:
    /// Throws Error{Stop} when a snapshot is malformed. What happens to the rows of an awaited
    /// table before it is copied will be in its copy, whatever it is.
    explicit CopiedTables(const std::vector<CopiedTable>& tables = {},
                          const std::vector<AwaitedTable>& awaited = {});

    bool empty() const { return copies_.empty() && awaited_.empty(); }
    /// What of a table's rows is in its copy.
    struct Coverage {
        bool all = false;
        /// Not empty: of a table copied in ranges only the rows in these, by this column.
        std::vector<KeyRange> ranges{};
        const std::string& column() const { return ranges.front().column; }
        bool contains(int64_t key) const;
    };
    Coverage coverage(const TableName& table, uint32_t xid, Lsn commit_lsn) const;
    bool contains(const TableName& table, uint32_t xid, Lsn commit_lsn) const {
        return coverage(table, xid, commit_lsn).all;
    }
    /// What commits from here on is in no copy: the snapshots can be forgotten.
    Lsn needed_below() const { return needed_below_; }

  private:
    struct Copy {
        Snapshot snapshot;
        Lsn wal_end;
        KeyRange range;
    };
    std::map<TableName, std::vector<Copy>> copies_;
    std::set<TableName> awaited_;
    Lsn needed_below_;
};

}  // namespace antipode::secondary
