#include "adapters/postgres/chunk_mend.hpp"

#include <utility>

#include "adapters/postgres/chunk_sql.hpp"
#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

/// The primary's rows, and the hashes of the keys that differ.
constexpr const char* theirs = "pg_temp.antipode_rows";
constexpr const char* differing = "pg_temp.antipode_differing";
constexpr const char* drop_both =
    "DROP TABLE IF EXISTS pg_temp.antipode_rows, pg_temp.antipode_differing";

std::string parenthesized(const std::string& list) {
    return list.empty() ? "" : " (" + list + ")";
}

}  // namespace

ChunkMend::ChunkMend(Connection& connection, ChunkPlan plan)
    : connection_(connection),
      plan_(std::move(plan)),
      doing_("mending " + plan_.table.to_string()) {
    // The session finds single rows by index; here whole tables are joined.
    connection_.execute(doing_,
                        "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; "
                        "SET LOCAL enable_mergejoin = on");
    connection_.execute(doing_, drop_both);
    connection_.execute(doing_, std::string("CREATE TEMP TABLE ") + (theirs + 8) +
                                    " ON COMMIT DROP AS SELECT " + column_list(plan_.columns) +
                                    " FROM ONLY " + qualified(plan_.table) + " WITH NO DATA");
    copy_.emplace(connection_, doing_, std::string("COPY ") + theirs + " FROM STDIN");
}

void ChunkMend::find_differing(const std::set<uint32_t>& chunks, const TouchedKeys& touched) {
    const std::string hashes =
        "SELECT " + key_hash(plan_) + " AS id, " + row_hash(plan_) + " AS hash, ";
    std::string keys;
    for (const int64_t key : touched.keys) {
        keys += (keys.empty() ? "" : ",") + std::to_string(key);
    }
    connection_.query(
        doing_,
        std::string("CREATE TEMP TABLE ") + (differing + 8) +
            " ON COMMIT DROP AS SELECT id FROM (" + hashes + "1 AS there, 0 AS here FROM " +
            theirs + " UNION ALL " + hashes + "0, 1 FROM ONLY " + qualified(plan_.table) +
            " WHERE " + in_chunks(plan_, chunks) +
            ") both_sites GROUP BY id HAVING (sum(there) <> sum(here) OR sum(hash * there) <> "
            "sum(hash * here)) AND id <> ALL ('{" +
            keys + "}'::bigint[])");
}

MendedRows ChunkMend::finish(const std::set<uint32_t>& chunks, const TouchedRows& touched) {
    copy_->finish();
    copy_.reset();
    const TouchedKeys keys = find_touched(connection_, plan_, touched);
    if (keys.all) {
        throw Error(Reaction::Retry, doing_ + ": too much of it was just written");
    }
    find_differing(chunks, keys);
    const std::string chosen = key_hash(plan_) + " IN (SELECT id FROM " + differing + ")";
    const std::string columns = column_list(plan_.columns);
    MendedRows mended;
    mended.removed = connection_
                         .query(doing_, "DELETE FROM ONLY " + qualified(plan_.table) + " WHERE " +
                                            in_chunks(plan_, chunks) + " AND " + chosen)
                         .affected();
    mended.added =
        connection_
            .query(doing_, "INSERT INTO " + qualified(plan_.table) + parenthesized(columns) +
                               (columns.empty() ? "" : " OVERRIDING SYSTEM VALUE") + " SELECT " +
                               columns + " FROM " + theirs + " WHERE " + chosen)
            .affected();
    connection_.execute(doing_, drop_both);
    return mended;
}

}  // namespace antipode::postgres
