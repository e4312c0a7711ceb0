#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"

namespace antipode::secondary {

/// A check of the primary's database, as it is asked for over the primary's bulk service
/// (primary/database/check_bulk.hpp). Once it is open the primary holds a snapshot for it; a thread
/// tells the primary every minute that it is still wanted, however long this site reads, and the
/// destructor closes it.
///
/// Thread-safe once it is open. Every call throws Error{Retry} when the primary does not know the
/// check (any more), Error{Stop} when its answer is malformed, Unreadable where the primary cannot
/// read what is asked for, Stopped when the token fires.
class PrimaryCheck {
  public:
    /// `primary`: its bulk service; outlives this object.
    PrimaryCheck(StoreId store, BulkSource& primary, std::stop_token stop);
    ~PrimaryCheck();
    PrimaryCheck(const PrimaryCheck&) = delete;
    PrimaryCheck& operator=(const PrimaryCheck&) = delete;

    /// Names it in its barriers; nobody can guess it.
    const std::string& id() const { return id_; }

    /// Has its barriers written. Of::Structure: the primary reads its structure between them, too;
    /// Of::Recipes: also how it is made.
    /// `cut_as`: a check, still open, whose chunks keep their numbers; may be empty.
    enum class Of { Rows, Structure, Recipes };
    void open(Of what = Of::Rows, const std::string& cut_as = {});

    // Below: of one that is open.
    /// Of the primary.
    const std::vector<TableName>& tables() const { return tables_; }
    const std::string& snapshot() const { return snapshot_; }
    /// What commits above is not in the snapshot.
    Lsn wal_end() const { return wal_end_; }

    /// nullopt: the primary does not know how.
    std::optional<Structure> structure() const;
    std::optional<Recipes> recipes() const;
    /// nullopt: the primary does not know of them.
    std::optional<std::vector<LargeObject>> large_objects() const;
    /// Lines "offset<TAB>hex".
    void large_object(uint32_t oid, const std::function<void(std::string_view)>& sink) const;
    /// nullopt: the table is not in the snapshot, or not any more.
    std::optional<ChunkedTable> digests(const TableName& table,
                                        const std::set<uint32_t>& chunks) const;
    std::optional<KeyDigests> keys(const TableName& table, const std::set<uint32_t>& chunks) const;
    /// The chunks' rows in COPY's text format. False: as nullopt above.
    bool copy(const TableName& table, const std::set<uint32_t>& chunks,
              const std::function<void(std::string_view)>& sink) const;

  private:
    struct Text {
        BulkSource::Answer answer;
        std::string text;
    };
    BulkRequest request(const std::string& what) const;
    BulkRequest request(const std::string& what, const TableName& table,
                        const std::set<uint32_t>& chunks) const;
    Text get(const BulkRequest& request, const std::stop_token& stop) const;
    /// Throws when the primary does not know what is asked for.
    Text get_known(const BulkRequest& request) const;
    /// nullopt: the primary does not know what is asked for.
    std::optional<std::vector<std::vector<std::string>>> get_lines(const BulkRequest& request,
                                                                   size_t width) const;
    /// nullopt: the primary says that its snapshot cannot read the table.
    std::optional<std::string> get_table(const BulkRequest& request) const;
    void keep(const std::stop_token& done) const;

    const StoreId store_;
    BulkSource& primary_;
    const std::stop_token stop_;
    const std::string id_;
    bool asked_ = false;  ///< to open
    std::vector<TableName> tables_;
    std::string snapshot_;
    Lsn wal_end_;
    std::jthread keeping_;
};

/// A request names at most this many chunks: its line must stay short.
inline constexpr size_t chunks_per_request = 64;
/// At most so many of `chunks`, which lose them.
std::set<uint32_t> take_chunks(std::set<uint32_t>& chunks);

}  // namespace antipode::secondary
