#include "adapters/postgres/sequence_headroom.hpp"

#include <algorithm>
#include <map>

#include "adapters/postgres/control.hpp"
#include "adapters/postgres/sequence_log.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t moves_per_transaction = 100;

constexpr const char* ranges_sql = R"(
    SELECT n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
      has_sequence_privilege(s.seqrelid, 'UPDATE')
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence = 'p' AND n.nspname <> 'antipode')";

struct Found {
    SequenceRange range;
    bool writable = false;
};

std::map<TableName, Found> read_ranges(Control& control) {
    const Rows rows = control.transaction([](Connection& connection) {
        return connection.query("reading the sequences' ranges", ranges_sql);
    });
    std::map<TableName, Found> found;
    for (int row = 0; row < rows.size(); ++row) {
        found[{rows.string(row, 0), rows.string(row, 1)}] = {
            {rows.integer(row, 2), rows.integer(row, 3), rows.integer(row, 4),
             rows.boolean(row, 5)},
            rows.boolean(row, 6)};
    }
    return found;
}

/// Differences of int64_t need one bit more than it has, of both directions the same.
uint64_t distance(int64_t from, int64_t to) {
    return from <= to ? static_cast<uint64_t>(to) - static_cast<uint64_t>(from)
                      : static_cast<uint64_t>(from) - static_cast<uint64_t>(to);
}

/// Somebody dropped it, or made it anew, since the plan: then it is new, and nobody used it.
void move_one(Connection& connection, const SequenceMove& move) {
    constexpr const char* sql = R"(
        SELECT setval(s.seqrelid::regclass, $5::bigint)
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (SELECT pg_sequence_last_value(s.seqrelid) AS value) last
        WHERE n.nspname = $1 AND c.relname = $2 AND $5::bigint BETWEEN s.seqmin AND s.seqmax
          AND (last.value IS NOT DISTINCT FROM CASE WHEN $4::boolean THEN $3::bigint END
               OR CASE WHEN s.seqincrement > 0 THEN last.value < $5::bigint
                       ELSE last.value > $5::bigint END))";
    connection.query("moving a sequence ahead", sql,
                     {move.from.name.schema, move.from.name.table, std::to_string(move.from.value),
                      move.from.called ? "t" : "f", std::to_string(move.to)});
}

}  // namespace

std::optional<int64_t> moved_ahead(const SequenceRange& range, const SequenceValue& at,
                                   uint64_t calls) {
    const bool ascends = range.increment > 0;
    const uint64_t step = distance(0, range.increment);
    const int64_t first = ascends ? range.least : range.most;
    const int64_t last = ascends ? range.most : range.least;
    const auto behind = [&](int64_t from, uint64_t steps) {
        const uint64_t start = static_cast<uint64_t>(from);
        return static_cast<int64_t>(ascends ? start + steps * step : start - steps * step);
    };
    // The first call of one that was never used returns where it stands.
    const uint64_t steps = at.called ? calls : calls - 1;
    const uint64_t left = distance(at.value, last) / step;
    if (steps <= left) {
        return behind(at.value, steps);
    }
    const uint64_t whole = distance(first, last) / step;
    // All numbers of one that begins anew, and more: whatever it is set to was given out.
    if (!range.cycles || steps > whole) {
        return std::nullopt;
    }
    return behind(first, steps - left - 1);
}

SequenceHeadroom plan_headroom(const std::string& url, const std::string& application_name,
                               uint64_t calls) {
    Control control(url, application_name);
    const auto ranges = read_ranges(control);
    SequenceHeadroom headroom;
    for (SequenceValue& at : read_sequences(control)) {
        const auto found = ranges.find(at.name);
        if (found == ranges.end()) {
            continue;  // made meanwhile
        }
        const auto to = moved_ahead(found->second.range, at, calls);
        if (!found->second.writable) {
            headroom.left.push_back({at.name, "the daemon's role may not set it"});
        } else if (!to) {
            headroom.left.push_back({at.name, found->second.range.cycles
                                                  ? "it begins anew after fewer numbers"
                                                  : "it ends before"});
        } else {
            headroom.moves.push_back({std::move(at), *to});
        }
    }
    return headroom;
}

void move_ahead(const std::string& url, const std::string& application_name,
                std::span<const SequenceMove> moves) {
    Control control(url, application_name);
    while (!moves.empty()) {
        const auto part = moves.first(std::min(moves.size(), moves_per_transaction));
        control.transaction([&](Connection& connection) {
            for (const SequenceMove& move : part) {
                move_one(connection, move);
            }
            return true;
        });
        moves = moves.subspan(part.size());
    }
}

}  // namespace antipode::postgres
