#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"

namespace antipode::secondary {

/// What a check that was opened stands for.
struct OpenCheck {
    std::vector<TableName> tables;  ///< of the primary
    std::string snapshot;
    Lsn wal_end;  ///< what commits above is not in the snapshot
};

/// A check as it is asked for over the primary's bulk service (primary/database/check_bulk.hpp).
/// Every call throws Error{Retry} when the primary does not know the check (any more), Error{Stop}
/// when its answer is malformed.
class CheckRequests {
  public:
    CheckRequests(StoreId store, BulkSource& primary)
        : store_(std::move(store)), primary_(primary) {}

    /// Has the barriers of `check` written. `cut_as`: a check, still open, whose chunks keep their
    /// numbers; may be empty.
    /// Of::Structure: the primary reads its structure between them, too.
    enum class Of { Rows, Structure };
    OpenCheck open(const std::string& check, const std::string& cut_as, const std::stop_token& stop,
                   Of what = Of::Rows);
    /// Of a check that was opened for it. nullopt: the primary does not know how.
    std::optional<Structure> structure(const std::string& check, const std::stop_token& stop);
    /// nullopt: the primary does not know of them.
    std::optional<std::vector<LargeObject>> large_objects(const std::string& check,
                                                          const std::stop_token& stop);
    /// Lines "offset<TAB>hex".
    void large_object(const std::string& check, uint32_t oid,
                      const std::function<void(std::string_view)>& sink,
                      const std::stop_token& stop);
    /// nullopt: the table is not readable in the snapshot.
    std::optional<ChunkedTable> digests(const std::string& check, const TableName& table,
                                        const std::set<uint32_t>& chunks,
                                        const std::stop_token& stop);
    std::optional<KeyDigests> keys(const std::string& check, const TableName& table,
                                   const std::set<uint32_t>& chunks, const std::stop_token& stop);
    /// The chunks' rows in COPY's text format. False: not readable.
    bool copy(const std::string& check, const TableName& table, const std::set<uint32_t>& chunks,
              const std::function<void(std::string_view)>& sink, const std::stop_token& stop);
    /// Never throws but Stopped: an open check ends by itself.
    void close(const std::string& check, const std::stop_token& stop);

  private:
    BulkRequest request(const std::string& what, const std::string& check) const;
    BulkRequest request(const std::string& what, const std::string& check, const TableName& table,
                        const std::set<uint32_t>& chunks) const;
    std::string fetch(const BulkRequest& request, const std::stop_token& stop);
    /// nullopt: the primary does not know what is asked for.
    std::optional<std::vector<std::vector<std::string>>> fetch_lines(const BulkRequest& request,
                                                                     size_t width,
                                                                     const std::stop_token& stop);
    std::string fetch(const BulkRequest& request, BulkSource::Answer& answer,
                      const std::stop_token& stop);
    /// nullopt: the primary says that its snapshot cannot read the table.
    std::optional<std::string> fetch_readable(const BulkRequest& request,
                                              const std::stop_token& stop);

    const StoreId store_;
    BulkSource& primary_;
};

/// A check's id that nobody can guess.
std::string new_check_id();

/// A request names at most this many chunks: its line must stay short.
inline constexpr size_t chunks_per_request = 64;
/// At most so many of `chunks`, which lose them.
std::set<uint32_t> take_chunks(std::set<uint32_t>& chunks);

}  // namespace antipode::secondary
