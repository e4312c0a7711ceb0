#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "adapters/postgres/connection.hpp"
#include "base/seams/chunks.hpp"

/// The SQL of chunks, the same for both sites. Digests are computed by the server from the texts of
/// rows, which Connection pins: equal across PostgreSQL 14 to 17. Key hashes say where a row stands
/// in chunks by hash; ranges are used for types whose order no collation changes.
namespace antipode::postgres {

struct ChunkSizes {
    uint64_t rows = 10'000;
    uint64_t bytes = 8 << 20;
};

/// Cuts a table by what the statistics say of its size. Call it in the snapshot to be compared.
ChunkPlan make_plan(Connection& connection, const TableName& table, const ChunkSizes& sizes);

/// Locks a table for reading in the open transaction and says whether its snapshot can still read
/// it: false when the table is not in it, or was dropped, truncated or rewritten since (then it
/// looks empty).
bool is_readable(Connection& connection, const TableName& table);

/// All chunks when `chunks` is empty.
ChunkDigests read_digests(Connection& connection, const ChunkPlan& plan,
                          const std::set<uint32_t>& chunks);
KeyDigests read_keys(Connection& connection, const ChunkPlan& plan,
                     const std::set<uint32_t>& chunks);
TouchedKeys find_touched(Connection& connection, const ChunkPlan& plan, const TouchedRows& touched);

/// "a" = ... of the rows of these chunks, for WHERE.
std::string in_chunks(const ChunkPlan& plan, const std::set<uint32_t>& chunks);
/// The hash of a row's key, and of the whole row.
std::string key_hash(const ChunkPlan& plan);
std::string row_hash(const ChunkPlan& plan);
/// Names, quoted, with commas between.
std::string column_list(const std::vector<std::string>& columns);

/// Whether an error says that what is read cannot be read, and nothing of the rest: a lock that is
/// not given, a cancellation, rights, values and their sizes, damage, disk or memory for a sort.
bool is_unreadable(std::string_view sqlstate);

/// The result of `use`; throws Unreadable for such an error.
template <typename Use>
auto or_unreadable(Use use) {
    try {
        return use();
    } catch (const SqlError& error) {
        if (is_unreadable(error.sqlstate())) {
            throw Unreadable(error.what());
        }
        throw;
    }
}

/// The result of `use`; nullopt when the server says that a table or column does not exist.
template <typename Use>
auto unless_missing(Use use) -> std::optional<decltype(use())> {
    try {
        return use();
    } catch (const SqlError& error) {
        if (error.sqlstate() == "42P01" || error.sqlstate() == "42703" ||
            error.sqlstate() == "3F000") {
            return std::nullopt;
        }
        throw;
    }
}

}  // namespace antipode::postgres
